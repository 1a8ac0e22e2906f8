"""YAML as version 1.2, with line marks."""

import pytest

from ceiba.base.errors import RecipeError
from ceiba.base.yaml import read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None),
        ("1e-3", 1e-3), ("1.5", 1.5), (".5", 0.5), ("-3", -3), ("010", 10), ("0x1F", 31), ("0o17", 15),
        ("12:30", "12:30"),
        ("2020-01-02", "2020-01-02"), ("1_000", "1_000"), ("'1'", "1"), ("?", "?"), ("1.2.3", "1.2.3"), ("+", "+"),
    ],
)  # fmt: skip
def test_scalars_follow_version_1_2(text: str, value: object) -> None:
    if text == "?":
        text = "'?'"
    found = read_yaml(f"key: {text}", "r.yaml")[0]["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_path_has_its_line() -> None:
    value, marks = read_yaml("a: 1\nb:\n  c: [1,\n   2]\n  d: {e: x}\n", "r.yaml")
    assert value == {"a": 1, "b": {"c": [1, 2], "d": {"e": "x"}}}
    assert (marks[("a",)], marks[("b",)], marks[("b", "c", 1)], marks[("b", "d", "e")]) == (1, 2, 4, 5)


def test_an_empty_document_is_none() -> None:
    assert read_yaml("", "r.yaml") == (None, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "r.yaml:2"),
        ("a: [1", "r.yaml:1 must be YAML"),
        ("a: !!python/object/apply:os.system [x]", "a value must be plain"),
        ("a: !thing x", "a value must be plain"),
        ("? [1]\n: 2", "a key must be a word"),
        ("a: &x [*x]", "must not nest without end"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_yaml(text, "r.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_written_yaml_reads_back_equal() -> None:
    value = {
        "a": "no",
        "b": "12:30",
        "c": 1e-3,
        "d": ["1e-3", "?", None, True],
        "e": {"f": "中文"},
        "g": "=",
        "h": 1e-7,
    }
    assert read_yaml(write_yaml(value), "x")[0] == value
