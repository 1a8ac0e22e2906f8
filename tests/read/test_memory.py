"""Tables in memory: every kind of frame gives the same rows; edge sizes first."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ceiba.base.errors import DataError
from ceiba.read import ReadSpec, columns, open_frame

ROWS = [{"n": 1, "x": 1.5, "t": "a", "b": True}, {"n": 2, "x": None, "t": None, "b": False}]


class Stream:
    """Anything that speaks Arrow's C interface."""

    def __init__(self, table: pa.Table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


SOURCES = {
    "rows": ROWS,
    "columns": {name: [row[name] for row in ROWS] for name in ROWS[0]},
    "table": pa.Table.from_pylist(ROWS),
    "batch": pa.RecordBatch.from_pylist(ROWS),
    "pandas": pd.DataFrame({"n": [1, 2], "x": [1.5, None], "t": ["a", None], "b": [True, False]}),
    "polars": pl.DataFrame(ROWS),
    "lazy": pl.DataFrame(ROWS).lazy(),
    "stream": Stream(pa.Table.from_pylist(ROWS)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_gives_the_same_rows(name: str) -> None:
    frame = open_frame(SOURCES[name])
    assert frame.to_table().to_pylist() == ROWS
    assert [str(field.type) for field in frame.schema] == ["int64", "double", "string", "bool"]
    assert frame.identity == open_frame(SOURCES[name]).identity


def test_rows_chosen_from_a_hub_data_set_are_the_chosen_ones() -> None:
    class Dataset:
        """As `datasets` has it: the form "arrow" honours the chosen rows, its C interface may not."""

        def with_format(self, form: str) -> dict[slice, pa.Table] | object:
            assert form == "arrow"
            return type("Chosen", (), {"__getitem__": lambda self, rows: pa.table({"a": [2, 1]})})()

    Dataset.__module__ = "datasets.arrow_dataset"
    assert open_frame(Dataset()).to_table().to_pydict() == {"a": [2, 1]}


@pytest.mark.parametrize("empty", [[], {}, pa.table({}), pd.DataFrame(), pl.DataFrame()], ids=str)
def test_no_rows_and_no_columns(empty: object) -> None:
    assert open_frame(empty).num_rows == 0


def test_rows_may_lack_keys() -> None:
    assert open_frame([{"a": 1}, {"b": "x"}]).to_table().to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ([1, "x", None], ["1", "x", None]),
        ([None, None], [None, None]),
        ([True, 2], [1.0, 2.0]),
        (np.array([1, 2], np.int16), [1, 2]),
        (np.array(["a", "b"]), ["a", "b"]),
        ([b"x", None], [b"x", None]),
        ([[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0]]),
        ([datetime.date(2020, 1, 2)], [datetime.date(2020, 1, 2)]),
    ],
)
def test_columns_of_python_values(values: object, expected: list[object]) -> None:
    assert open_frame({"a": values}).to_table().column("a").to_pylist() == expected


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array(["a", "b", "a"]).dictionary_encode(), "string"),
        (pa.array(["a"], pa.large_string()), "string"),
        (pa.array(["a"], pa.string_view()), "string"),
        (pa.array([b"a"], pa.large_binary()), "binary"),
        (pa.array([decimal.Decimal("1.50")]), "double"),
        (pa.array([1.5], pa.float16()), "float"),
        (pa.array([["a"]], pa.large_list(pa.large_string())), "list<item: string>"),
        (pa.array([{"bytes": b"x", "path": "p"}]), "binary"),
        (pa.array([datetime.datetime(2020, 1, 1)], pa.date64()), "date32[day]"),
        (pa.array([7], pa.uint8()), "uint8"),
    ],
)
def test_arrow_types_are_settled(array: pa.Array, kind: str) -> None:
    frame = open_frame(pa.table({"a": array}))
    assert str(frame.schema.field("a").type) == kind
    assert frame.to_table().column("a").null_count == 0


def test_many_rows_come_in_bounded_batches() -> None:
    frame = open_frame(
        pa.table({"a": pa.array(range(150_000), pa.int32()), "c": pa.array(["x"] * 150_000, pa.large_string())})
    )
    assert frame.num_rows == sum(batch.num_rows for batch in frame.batches()) == 150_000
    assert max(batch.num_rows for batch in frame.batches()) <= columns.MOST_ROWS


def test_metadata_of_a_field_stays_and_that_of_pandas_goes() -> None:
    field = pa.field("image", pa.list_(pa.uint8(), 2), metadata={"shape": "1,2,1"})
    frame = open_frame(pa.table({"image": pa.array([[1, 2]], field.type)}, schema=pa.schema([field])))
    assert frame.schema.field("image").metadata == {b"shape": b"1,2,1"}
    assert open_frame(pd.DataFrame({"a": [1]})).schema.metadata is None


def test_pandas_index_is_no_column() -> None:
    assert open_frame(pd.DataFrame({"a": [1, 2, 3]}).iloc[1:]).names == ("a",)


def test_spellings_of_missing_values_are_found_among_text() -> None:
    frame = open_frame([{"a": " ?"}, {"a": "x"}, {"a": None}], ReadSpec(missing=("?",)))
    assert frame.to_table().column("a").to_pylist() == [None, "x", None]
    assert frame.identity != open_frame([{"a": " ?"}, {"a": "x"}, {"a": None}]).identity


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"a": [1, 2], "b": [1]}, r"same number of values. Got 1 in 'b' and 2 in 'a'"),
        ({"a": "text"}, "column 'a' must be a list of values"),
        ([{"a": object()}], "column 'a' must hold values of one kind"),
        ({"a": [b"x", 1]}, "column 'a' must hold values of one kind"),
        (pd.DataFrame({"a": [object(), 1]}), "pandas DataFrame must be a table of plain values"),
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "'a' twice"),
        (pa.table({"a": pa.array([[1.5], ["x"]] if False else [{"q": 1}])}), None),
        (42, "data must be a path, a list of paths or a table. Got a int"),
        (None, "data must be a path"),
        ([1, 2], "data must be a path"),
    ],
)
def test_what_is_no_table_is_refused_in_words(source: object, words: str | None) -> None:
    if words is None:
        assert (
            open_frame(source).num_rows == 1
        )  # an object column is kept: whether it can be used is told by what uses it
        return
    with pytest.raises(DataError, match=words):
        open_frame(source)
