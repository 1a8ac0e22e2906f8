"""Cleaning: each operation on every form of column, the same on a whole frame and on one batch."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError

from ceiba.base.errors import DataError
from ceiba.clean import CLEAN, Cleaner, CleanOption, RowSpec
from ceiba.prepare import clean_frame
from ceiba.read import Frame, open_frame

OPTIONS: TypeAdapter[Any] = TypeAdapter(list[CleanOption])


def operations(*given: object) -> list[Any]:
    return list(OPTIONS.validate_python(list(given)))


def cleaned(columns: dict[str, Any], *given: object) -> dict[str, list[Any]]:
    table = pa.table(columns)
    whole = clean_frame(open_frame(table), operations(*given))
    found: dict[str, list[Any]] = whole.to_table().to_pydict()
    # one batch alone, as in serving, and any column asked for alone, as in fitting, give the same
    ops = operations(*given)
    if not any(isinstance(operation, RowSpec) for operation in ops):
        batch = Cleaner(ops)(pa.RecordBatch.from_pydict(columns))
        assert batch.to_pydict() == found
        assert Cleaner(ops)(batch) is batch
    for name in found:
        assert repr([value for chunk in whole.column(name) for value in chunk.to_pylist()]) == repr(found[name])
        assert whole.schema.field(name).type == whole.to_table().schema.field(name).type
    assert list(found) == list(whole.names)
    return found


def test_strip() -> None:
    assert cleaned({"a": [" x ", "\t", None, "ü\u3000"], "n": [1, 2, 3, 4]}, "strip") == {
        "a": ["x", None, None, "ü"],
        "n": [1, 2, 3, 4],
    }
    assert cleaned({"a": [" x"], "b": [" y"]}, {"strip": "b"}) == {"a": [" x"], "b": ["y"]}


def test_lower() -> None:
    assert cleaned({"a": ["Ä", None]}, {"lower": ["a"]}) == {"a": ["ä", None]}


def test_strip_suffix() -> None:
    assert cleaned({"income": ["<=50K.", ">50K", None, ".", "größe."]}, {"strip_suffix": {"income": "."}}) == {
        "income": ["<=50K", ">50K", None, "", "größe"]
    }
    assert cleaned({"a": ["x km"]}, {"strip_suffix": {"a": " km"}}) == {"a": ["x"]}
    assert cleaned({"a": ["x"]}, {"strip_suffix": {"a": ""}}) == {"a": ["x"]}


@pytest.mark.parametrize(
    ("column", "changes", "expected"),
    [
        (["a", "b", None], {"a": "z"}, ["z", "b", None]),
        (["a", "b"], {"a": None}, [None, "b"]),
        (["a", "b"], {"a": "b", "b": "a"}, ["b", "a"]),
        ([0, 1, 2], {"0": "no", "1": "yes"}, ["no", "yes", "2"]),
        ([0, 1, 2], {0: 5}, [5, 1, 2]),
        ([0, 1, 2], {0: 0.5}, [0.5, 1.0, 2.0]),
        ([-1, 1], {-1: None}, [None, 1]),
        ([39.0, 1.5], {"39": 40}, [40.0, 1.5]),
        ([1.0, 2.0], {"x": 3}, [1.0, 2.0]),
        ([1.0, 2.0], {"x": 3, "1": 5}, [5.0, 2.0]),
        ([True, False, None], {True: "on"}, ["on", "false", None]),
        (["true", "x"], {"x": False}, ["true", "false"]),
        ([1, None], {}, [1, None]),
    ],
)
def test_replace(column: list[Any], changes: dict[Any, Any], expected: list[Any]) -> None:
    assert cleaned({"a": column}, {"replace": {"a": changes}}) == {"a": expected}


def test_log1p_and_clip() -> None:
    assert cleaned({"a": [0, 9, None]}, {"log1p": "a"}) == {"a": [0.0, pytest.approx(math.log(10)), None]}
    assert cleaned({"a": [-5, 5, None, 50]}, {"clip": {"a": [0, 10]}}) == {"a": [0.0, 5.0, None, 10.0]}
    assert cleaned({"a": [-5.5, 5.0]}, {"clip": {"a": [None, 1]}}) == {"a": [-5.5, 1.0]}
    assert cleaned({"a": ["1", "x"]}, {"replace": {"a": {"x": None}}}, {"log1p": "a"})["a"][1] is None


def test_join_passes_a_table_that_has_the_result() -> None:
    join = {"join": {"text": ["title", "description"]}}
    assert cleaned({"title": ["a", "b", None, None], "description": ["x", None, "y", None]}, join)["text"] == [
        "a x",
        "b",
        "y",
        None,
    ]
    assert cleaned({"text": ["a x"]}, join) == {"text": ["a x"]}
    assert cleaned({"title": ["a"], "description": [1], "label": [2]}, join)["text"] == ["a 1"]
    with pytest.raises(DataError, match=r"description.*Did you mean 'descriptions'"):
        cleaned({"title": ["a"], "descriptions": ["x"]}, join)


def test_pair_keeps_two_texts_apart() -> None:
    pair = {"pair": {"both": ["a", "b"]}}
    columns = {"a": ["x", None, "y"], "b": [1, 2, None]}
    assert cleaned(columns, pair)["both"] == [["x", "1"], ["", "2"], ["y", ""]]
    assert cleaned({"both": [["x", "1"]]}, pair) == {"both": [["x", "1"]]}
    with pytest.raises(DataError, match=r"clean.pair must name.*'b'"):
        cleaned({"a": ["x"]}, pair)


def test_rename_and_drop() -> None:
    assert cleaned({"a": [1], "b": [2]}, {"rename": {"a": "b", "b": "a"}}) == {"b": [1], "a": [2]}
    assert cleaned({"b": [2]}, {"rename": {"a": "b"}}) == {"b": [2]}
    assert cleaned({"a": [1], "b": [2]}, {"drop": "a"}) == {"b": [2]}
    with pytest.raises(DataError):
        cleaned({"a": [1], "b": [2]}, {"rename": {"a": "b"}})
    with pytest.raises(DataError, match="'age'"):
        cleaned({"age": [1]}, {"drop": "agee"})


def test_a_chain_asks_for_the_columns_behind_the_columns() -> None:
    found = cleaned(
        {"t": ["A "], "d": ["B"], "other": [1]},
        {"rename": {"t": "title"}},
        "strip",
        {"join": {"text": ["title", "d"]}},
        {"lower": "text"},
        {"drop": ["title", "d"]},
    )
    assert found == {"other": [1], "text": ["a b"]}


def test_rows() -> None:
    columns = {"a": [1.0, float("nan"), None, 1.0, 1.0], "b": ["x", "y", "z", "x", None]}
    assert cleaned(columns, "drop_missing") == {"a": [1.0, 1.0], "b": ["x", "x"]}
    assert cleaned(columns, {"drop_missing": "b"})["b"] == ["x", "y", "z", "x"]
    assert cleaned(columns, "drop_duplicates")["b"] == ["x", "y", "z", None]
    assert cleaned(columns, {"drop_duplicates": ["b"]})["b"] == ["x", "y", "z", None]
    frame = clean_frame(open_frame(columns), operations("drop_missing", "drop_duplicates"))
    assert [note.split(": ")[1] for note in frame.notes] == [
        "clean.drop_missing left out 3 of 5 rows",
        "clean.drop_duplicates left out 1 of 2 rows",
    ]


def test_no_rows() -> None:
    columns = {"a": pa.array([], pa.string()), "n": pa.array([], pa.int64())}
    every = [
        "strip",
        {"lower": "a"},
        {"log1p": "n"},
        {"clip": {"n": [0, 1]}},
        {"replace": {"a": {"x": "y"}, "n": {1: 2}}},
    ]
    assert cleaned(columns, *every, {"join": {"j": ["a", "n"]}}, "drop_missing", "drop_duplicates") == {
        "a": [],
        "n": [],
        "j": [],
    }


def test_serving_passes_over_absent_columns() -> None:
    cleaner = Cleaner(operations({"strip_suffix": {"income": "."}}, {"log1p": "fee"}, "drop_missing"))
    assert cleaner(pa.RecordBatch.from_pydict({"age": [1, None]})).to_pydict() == {"age": [1, None]}


def test_a_frame_that_was_cleaned_is_not_cleaned_again() -> None:
    ops = operations({"log1p": "a"})
    frame = clean_frame(open_frame({"a": [1.0, 2.0], "b": [1, 2]}), ops)
    for variant in (frame, frame.select(["a"]), frame.take(np.array([1]))):
        for batch in variant.batches():
            assert Cleaner(ops)(batch).equals(batch)
    other = Cleaner(operations({"clip": {"a": [0, 0.1]}}))
    assert other(next(iter(frame.batches()))).column(0).to_pylist() == [0.1, 0.1]


def test_wrong_columns_and_kinds_are_named() -> None:
    for bad, text in (
        ({"log1p": "agee"}, "clean.log1p.*agee.*Did you mean 'age'"),
        ({"log1p": "name"}, "clean.log1p needs a column of numbers, 'name'"),
        ({"lower": "age"}, "clean.lower needs a column of text, 'age'"),
        ({"log1p": "low"}, "above -1 in column 'low'.*Got -1"),
    ):
        with pytest.raises(DataError, match=text):
            cleaned({"age": [1], "name": ["x"], "low": [-1.0]}, bad)


@pytest.mark.parametrize("bad", ["stripp", {"log1p": {"a": 1}}, {"replace": "a"}, "log1p", {"clip": {"a": [1]}}, 3, {}])
def test_what_is_no_operation_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError):
        operations(bad)


def test_written_out_and_read_back() -> None:
    ops = operations(
        "strip", {"clip": {"a": [0, None]}}, {"replace": {"a": {1: True, "x": None}}}, {"join": {"t": ["a", "b"]}}
    )
    assert operations(*[operation.model_dump(mode="json") for operation in ops]) == ops
    assert operations(*[operation.model_dump(mode="json", exclude_none=True) for operation in ops[:2]])[0] == ops[0]


def test_catalog_names_are_the_types() -> None:
    for name, spec in CLEAN.items():
        assert spec.model_fields["type"].default == name
        assert spec.__doc__


def test_identity_tells_cleanings_apart() -> None:
    frame = open_frame({"a": [1.0]})
    names: list[Frame] = [
        clean_frame(frame, operations(*ops)) for ops in ([], [{"log1p": "a"}], [{"clip": {"a": [0, 1]}}])
    ]
    assert len({named.identity for named in names}) == 3
    assert clean_frame(frame, operations({"log1p": "a"})).identity == names[1].identity
