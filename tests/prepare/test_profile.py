"""Profiles: what is planted is found, and what is not there is not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base.yaml import read_yaml
from ceiba.prepare import DataSpec, Profile, draft, load_splits, profile
from ceiba.prepare.leaks import find_leaks, sample_table
from ceiba.prepare.show import number
from ceiba.prepare.summary import summarize
from ceiba.read import open_frame

RNG = np.random.default_rng(0)


def clean_table(rows: int = 1000) -> dict[str, Any]:
    x = RNG.normal(size=rows)
    return {
        "x": x,
        "noise": RNG.random(rows),
        "city": RNG.choice(["Oslo", "Rome", "Lima"], rows),
        "y": np.where(x + RNG.normal(size=rows) > 0, "yes", "no"),
    }


def about(found: Profile) -> list[tuple[str, str | None]]:
    return [(one.about, one.column) for one in found.warnings]


def test_nothing_is_found_where_nothing_is() -> None:
    assert about(profile(clean_table(), "y", {"test": open_frame(clean_table(200))})) == []


def test_figures() -> None:
    table = clean_table()
    table["x"][0] = np.nan
    found = profile(table, "y")
    columns = {column.name: column for column in found.columns}
    x, values = columns["x"], table["x"][1:]
    assert x.missing == 1
    assert x.mean == pytest.approx(values.mean())
    assert (x.low, x.high) == (values.min(), values.max())
    assert x.quantiles["0.5"] == pytest.approx(np.median(values))
    assert x.histogram is not None
    assert sum(x.histogram["counts"]) == 999
    assert x.histogram["counts"] == np.histogram(values, 20)[0].tolist()
    assert dict(columns["city"].top) == {one: int((table["city"] == one).sum()) for one in ("Oslo", "Rome", "Lima")}
    assert columns["y"].role == "target"
    assert found.rows == {"train": 1000}
    assert found.kinds == {"x": "number", "noise": "number", "city": "category", "y": "binary"}
    assert len(found.samples) == 5


LEAKS: dict[str, Any] = {
    "copy": lambda y: y,
    "renamed": lambda y: np.where(y == "yes", "approved", "denied"),
    "as number": lambda y: np.where(y == "yes", 1.5, -0.5),
    "as many numbers": lambda y: np.where(y == "yes", RNG.random(len(y)), 2 + RNG.random(len(y))),
    "as dates": lambda y: np.where(y == "yes", np.datetime64("2020-01-01"), np.datetime64("2021-01-01")),
    "as missing": lambda y: pa.array([1.0 if one == "yes" else None for one in y]),
    "nearly": lambda y: np.where(RNG.random(len(y)) < 0.01, "yes", y),
}


@pytest.mark.parametrize("name", sorted(LEAKS))
def test_a_planted_leak_is_found(name: str) -> None:
    table = clean_table()
    assert ("leakage", name) in about(profile({**table, name: LEAKS[name](table["y"])}, "y"))


@pytest.mark.parametrize("change", [lambda y: y, lambda y: np.exp(y), lambda y: -3 * y + 1, lambda y: y.round(1)])
def test_a_leak_of_a_number_is_found(change: Any) -> None:
    table = clean_table()
    table["price"] = np.exp(table["x"] + RNG.normal(size=1000))
    assert about(profile(table, "price")) == []
    assert about(profile({**table, "leak": change(np.log(table["price"]))}, "price")) == [("leakage", "leak")]


def test_what_is_no_leak() -> None:
    rows = 1000
    table = clean_table(rows)
    table["key"] = [f"k{row}" for row in RNG.permutation(rows)]
    table["unique number"] = RNG.permutation(rows) * 1.5
    table["good"] = np.where(RNG.random(rows) < 0.2, "yes", table["y"])
    assert [one for one in about(profile(table, "y")) if one[0] == "leakage"] == []
    few = {name: values[:20] for name, values in clean_table().items()}
    assert [one for one in about(profile({**few, "copy": few["y"]}, "y")) if one[0] == "leakage"] == []


def test_the_half_that_is_told_is_not_the_half_that_tells() -> None:
    """A column whose values never recur says nothing about rows that were not looked at."""
    table = pa.table({"x": [f"v{row}" for row in range(2000)], "y": RNG.choice(["a", "b"], 2000)})
    assert find_leaks(table, {"x": "category", "y": "binary"}, "y") == {}


def test_samples_are_keyed_and_sorted() -> None:
    frame = open_frame({"x": np.arange(5000)})
    one, other = sample_table(frame, ("x",), limit=100), sample_table(frame, ("x",), limit=100)
    assert one.equals(other)
    rows = one["x"].to_numpy()
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    assert rows.mean() == pytest.approx(2500, rel=0.2)


def test_duplicates_within_and_across() -> None:
    train, test = clean_table(), clean_table(100)
    for name in ("x", "noise", "city"):
        train[name][:3] = train[name][3:6]
        test[name][:7] = train[name][10:17]
    found = profile(train, "y", {"test": open_frame(test)})
    texts = [one.text for one in found.warnings if one.about == "duplicates"]
    assert texts == [
        "3 of 1000 rows of train repeat the inputs of an earlier row",
        "7 of 100 rows of test have the inputs of a training row: figures on them are too good",
    ]


def test_duplicates_across_types_and_with_ids() -> None:
    train = {"row": list(range(100)), "a": [float(row * 7 % 100) for row in range(100)], "b": ["x"] * 50 + ["z"] * 50}
    test = {"row": list(range(100, 103)), "a": ["1", "2", "none"], "b": ["x", "z", "x"]}
    found = profile(train, (), {"test": open_frame(test)})
    assert any("2 of 3 rows of test have" in one.text for one in found.warnings)


def test_ids_constants_and_missing_values() -> None:
    table = {**clean_table(), "row": np.arange(1000), "same": ["x"] * 1000, "gaps": [None] * 600 + [1.5, 2.5] * 200}
    found = profile(table, "y")
    assert about(found) == [("missing", "gaps"), ("left out", None), ("left out", None)]
    assert "'row' is left out: it counts the rows up" in found.warnings[1].text
    assert "'same' is left out: it holds the same value" in found.warnings[2].text


def test_imbalance_and_labels_of_the_test() -> None:
    table = clean_table()
    table["y"] = np.array(["common"] * 995 + ["rare"] * 5)
    test = clean_table(50)
    test["y"] = np.array(["common"] * 25 + ["common."] * 25)
    found = profile(table, "y", {"test": open_frame(test)})
    texts = {one.about: one.text for one in found.warnings}
    assert "'rare' (5)" in texts["imbalance"]
    assert "'common.'" in texts["labels"]


def test_columns_that_the_test_lacks_or_types_otherwise() -> None:
    test = clean_table(50)
    del test["x"]
    test["noise"] = ["?"] * 50
    found = profile(clean_table(), "y", {"test": open_frame(test)})
    assert [one for one in about(found) if one[0] == "types"] == [("types", "x"), ("types", "noise")]


def test_shown_as_text_page_and_json() -> None:
    table = {**clean_table(), "<b>": [f"a long text number {row} " * 3 for row in range(1000)]}
    found = profile(table, "y")
    text = found.to_text()
    assert "1,000 rows" in text
    assert all(name in text for name in table)
    assert "█" in text
    page = found._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "<svg" in page
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["targets"] == ["y"]


def test_no_rows_and_one() -> None:
    for rows in (0, 1):
        found = profile({name: values[:rows] for name, values in clean_table().items()}, "y")
        assert found.rows == {"train": rows}
        assert found.to_text()
        assert found._repr_html_()
        json.dumps(found.to_json(), allow_nan=False)


def test_figures_are_short() -> None:
    values = [1872.0, 12.3456, 1234567.8, 0.00012345, "2020-01-01"]
    assert [number(value) for value in values] == ["1872", "12.35", "1,234,568", "0.0001234", "2020-01-01"]


def write(path: Path, header: str, lines: list[str]) -> str:
    path.write_text("\n".join([header, *lines, ""]))
    return str(path)


def test_a_draft_is_a_valid_recipe(tmp_path: Path) -> None:
    names = '"row, id",on:off,"a, b",x,y'
    train = write(
        tmp_path / "train.csv", names, [f"{row * 3},{row % 2},t{row % 5},{row % 7}.5,c{row % 3}" for row in range(90)]
    )
    test = write(
        tmp_path / "test.csv", names, [f"{row},{row % 2},t{row % 5},{row % 7}.5,c{row % 3}." for row in range(30)]
    )
    (tmp_path / "recipes").mkdir()
    found, text = draft(train, ["y"], test, tmp_path / "recipes")
    value, _ = read_yaml(text, "recipe.yaml")
    assert value["data"] == {
        "train": "../train.csv",
        "test": "../test.csv",
        "clean": [{"strip_suffix": {"y": "."}}],
        "ids": ["row, id"],
    }
    assert value["inputs"] == {"on:off": "binary", "a, b": "category", "x": "number"}
    assert value["outputs"] == {"y": "category"}
    assert not [one for one in found.warnings if one.about == "labels"]
    spec = DataSpec.model_validate({**value["data"], "train": train, "test": test})
    splits = load_splits(spec, ["y"])
    assert splits.test is not None
    assert set(splits.test.to_table()["y"].to_pylist()) == {"c0", "c1", "c2"}


def test_a_draft_joins_what_the_test_has_apart(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "text,y", [f"some words here {row},{row % 2}" for row in range(60)])
    test = write(tmp_path / "test.csv", "title,body,y", [f"some words,here {row},{row % 2}" for row in range(9)])
    _, text = draft(train, ["y"], test, tmp_path)
    value, _ = read_yaml(text, "recipe.yaml")
    assert value["data"]["clean"] == [{"join": {"text": ["title", "body"]}}]
    assert value["inputs"] == {"text": "text"}


def test_a_draft_without_a_target_names_no_output(tmp_path: Path) -> None:
    _, text = draft(write(tmp_path / "a.csv", "x,y", ["1,2", "3,5"]), [], None, tmp_path)
    assert read_yaml(text, "recipe.yaml")[0]["outputs"] is None


def test_a_draft_of_real_data(data: Any, tmp_path: Path) -> None:
    _, text = draft(
        str(data("ag_news/train_subset.parquet")), ["label"], str(data("ag_news/test_7600.parquet")), tmp_path
    )
    value, _ = read_yaml(text, "recipe.yaml")
    assert value["data"]["clean"] == [{"join": {"text": ["title", "description"]}}]
    assert (value["inputs"], value["outputs"]) == ({"text": "text"}, {"label": "category"})


def test_a_part_of_rows_is_told_of_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("color,y\n" + "".join(f"{'red' if row < 30 else 'blue'},{row % 2}\n" for row in range(40)))
    part = open_frame(path).take(np.arange(30))
    assert next(part.batches(("color",), coded=True)).column(0).type.value_type == pa.string()
    found = summarize(part)["color"]
    assert (found.distinct, found.counts) == (1, {"red": 30})
