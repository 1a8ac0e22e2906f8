"""Rows in the form that somebody has, and answers in the same form."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.base.optional import require
from ceiba.read import Frame, ReadSpec, open_frame

Form = Callable[[pa.Table], Any]
"""Answers as a table → answers in the form in which the rows came."""

SCALARS = (str, bytes, bool, int, float)
LIST_KINDS = ("set", "vector")


def rows_and_form(
    rows: Any, wanted: Collection[str], kinds: Mapping[str, str], reading: ReadSpec
) -> tuple[Frame, tuple[str, ...], Form]:
    """Rows → a frame of the wanted columns among those it has, the names of all it has, and the way back.

    Columns that are not wanted are dropped before they are looked at. A dict is one row where a value of an input is a
    single value, and columns otherwise.

    Raises: DataError for what holds no rows.
    """
    if isinstance(rows, Frame):
        return rows, rows.names, _as_table
    if isinstance(rows, Mapping) and is_one_row(rows, wanted, kinds):
        frame, names, _ = rows_and_form([rows], wanted, kinds, reading)
        return frame, names, lambda table: table.to_pylist()[0]
    if isinstance(rows, Mapping):
        own = {name: values for name, values in rows.items() if name in wanted}
        return open_frame(own, reading), tuple(rows), lambda table: table.to_pydict()
    if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows):
        present = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in wanted if name in present}
        return open_frame(columns, reading), tuple(map(str, present)), lambda table: table.to_pylist()
    if isinstance(rows, str) or hasattr(rows, "__fspath__"):
        frame = open_frame(rows, reading)
        return frame, frame.names, _as_table
    return _table_and_form(rows, wanted, reading)


def _table_and_form(rows: Any, wanted: Collection[str], reading: ReadSpec) -> tuple[Frame, tuple[str, ...], Form]:
    module = type(rows).__module__.split(".")[0]
    names: list[str]
    form: Form
    if isinstance(rows, pa.RecordBatch | pa.Table):
        names, select = rows.schema.names, rows.select
        form = _as_batch if isinstance(rows, pa.RecordBatch) else _as_table
    elif module == "pandas" and hasattr(rows, "columns"):
        names, select = list(rows.columns), rows.__getitem__
        form = lambda table: table.to_pandas().set_index(rows.index)  # noqa: E731
    elif module == "polars" and hasattr(rows, "collect_schema"):
        polars = require("polars", "dev", "answer a polars frame")
        names, select = rows.collect_schema().names(), rows.lazy().select
        form = polars.from_arrow
    elif module == "datasets" and hasattr(rows, "select_columns"):
        names, select, form = rows.column_names, rows.select_columns, type(rows)
    elif hasattr(rows, "__arrow_c_stream__"):
        return _table_and_form(pa.table(rows), wanted, reading)
    else:
        do = "Give a list of dicts, a dict, a pandas, polars, Arrow or datasets table, or a path"
        raise DataError("rows must be a table", f"{module}.{type(rows).__name__}", do)
    chosen = select([name for name in names if name in wanted])
    return open_frame(chosen.collect() if module == "polars" else chosen, reading), tuple(map(str, names)), form


def is_one_row(row: Mapping[str, Any], wanted: Collection[str], kinds: Mapping[str, str]) -> bool:
    """Whether a dict is a row and not columns: it is where some input holds a single value."""
    for name in wanted:
        value = row.get(name)
        if name not in row:
            continue
        if value is None or isinstance(value, SCALARS) or not hasattr(value, "__len__"):
            return True
        if kinds.get(name) in LIST_KINDS and len(value) and isinstance(next(iter(value)), SCALARS):
            return True
        if kinds.get(name) == "chat" and len(value) and isinstance(next(iter(value)), Mapping):
            return True
    return False


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)


def _as_table(table: pa.Table) -> pa.Table:
    return table
