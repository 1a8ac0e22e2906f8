"""Tables that are already in memory: Arrow, pandas, polars, datasets, lists of rows, dicts of columns."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.read.columns import settle_batches, settled_schema
from ceiba.read.frame import Frame


def table_frame(table: pa.Table, origin: str, notes: tuple[str, ...] = ()) -> Frame:
    """A frame over an Arrow table, without copying the columns whose type is settled already."""
    schema = settled_schema(table.schema, origin)
    settled = pa.Table.from_batches(list(settle_batches(iter(table.to_batches()), schema, origin)), schema)

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        return iter((settled if columns is None else settled.select(list(columns))).to_batches())

    return Frame(schema, origin, table_digest(settled), settled.num_rows, source, notes)


def table_digest(table: pa.Table) -> str:
    """SHA-256 of a table's schema and values, however its batches are cut.

    A fixed number of rows is hashed at a time, so that the cut does not show.
    """
    hasher = hashlib.sha256(table.schema.serialize())
    for start in range(0, table.num_rows, DIGEST_ROWS):
        for batch in table.slice(start, DIGEST_ROWS).combine_chunks().to_batches():
            hasher.update(batch.serialize())
    return hasher.hexdigest()


DIGEST_ROWS = 65_536


def memory_frame(source: object) -> Frame | None:
    """A frame over a table in memory; None for what is no table (a path).

    Raises: DataError for rows or columns that do not make a table.
    """
    if isinstance(source, str | bytes) or hasattr(source, "__fspath__"):
        return None
    try:
        return _memory_frame(source)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        do = "Make every value of a column of one kind: numbers, text, true/false, dates or bytes"
        raise DataError(f"{_kind(source)} must be a table of plain values", problem, do) from error


def _kind(source: object) -> str:
    module = type(source).__module__.split(".")[0]
    return f"the {module} {type(source).__name__}" if module != "builtins" else f"the {type(source).__name__}"


def _memory_frame(source: Any) -> Frame | None:
    if isinstance(source, pa.RecordBatch):
        return table_frame(pa.Table.from_batches([source]), "the Arrow batch")
    if isinstance(source, pa.Table):
        return table_frame(source, "the Arrow table")
    if type(source).__module__.startswith("pandas."):
        return table_frame(pa.Table.from_pandas(source, preserve_index=False), _kind(source))
    if type(source).__module__.startswith("polars.") and hasattr(source, "collect"):
        source = source.collect()  # a lazy frame
    if type(source).__module__.startswith("datasets."):
        # its Arrow table ignores the rows chosen by select, shuffle and filter; this form does not
        return table_frame(source.with_format("arrow")[:], _kind(source))
    if hasattr(source, "__arrow_c_stream__"):
        return table_frame(pa.table(source), _kind(source))
    if isinstance(source, Mapping):
        return _columns_frame(source)
    if isinstance(source, Sequence) and all(isinstance(row, Mapping) for row in source):
        return _rows_frame(source)
    return None


def _columns_frame(columns: Mapping[str, Any]) -> Frame:
    lengths = {str(name): len(values) for name, values in columns.items() if not isinstance(values, str | bytes)}
    for name in columns:
        if str(name) not in lengths:
            raise DataError(f"column '{name}' must be a list of values", "one text", "Put it in brackets")
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        got = f"{lengths[short]} in '{short}' and {lengths[long]} in '{long}'"
        raise DataError(
            "columns must have the same number of values", got, "Give every row a value; None is a missing one"
        )
    table = pa.table({str(name): _array(str(name), values) for name, values in columns.items()})
    return table_frame(table, "the dict of columns")


def _rows_frame(rows: Sequence[Mapping[str, Any]]) -> Frame:
    names = dict.fromkeys(str(name) for row in rows for name in row)
    table = pa.table({name: _array(name, [row.get(name) for row in rows]) for name in names})
    return table_frame(table, "the list of rows")


def _array(name: str, values: Any) -> pa.Array:
    """Python values or a numpy array as one Arrow array; whole numbers among floats, text among numbers allowed."""
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        kinds = {type(value) for value in values if value is not None}
        if kinds <= {int, float, bool}:
            return pa.array([None if value is None else float(value) for value in values])
        if kinds <= {int, float, bool, str}:
            return pa.array([None if value is None else str(value) for value in values])
        raise DataError(
            f"column '{name}' must hold values of one kind",
            str(error).splitlines()[0],
            "Make them all numbers, text, dates or bytes",
        ) from error
