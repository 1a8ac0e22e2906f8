"""Rows of Python values (JSON, SQLite) → an Arrow file whose kinds hold over all rows."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.read.kinds import FEW, converted, join, text_array, text_kind

CHUNK_ROWS = 8192
"""Rows held as Python values at once."""
MOST_INT = 2**63 - 1

Columns = Mapping[str, Sequence[Any]]
"""A chunk of rows: column name → its values, all of one length."""
Chunks = Callable[[], Iterable[Columns]]
"""Gives the chunks anew at each call."""


def write_values(chunks: Chunks, target: Path, origin: str, names: Sequence[str] = ()) -> int:
    """Settle the kinds over the whole stream, optimistically from its first chunk, and write it; the number of rows.

    A column that some rows lack is missing there. `names` are written even if there are no rows.

    Raises: DataError for values that no kind holds together.
    """
    kinds: dict[str, pa.DataType] = dict.fromkeys(names, pa.null())
    for first in chunks():
        kinds = _wider(kinds, first, origin)
        break
    while True:
        num_rows, wider = _write(chunks(), kinds, target, origin)
        if wider == kinds:
            return num_rows
        kinds = wider


def _wider(kinds: Mapping[str, pa.DataType], columns: Columns, origin: str) -> dict[str, pa.DataType]:
    here = {name: _kind(values, f"{origin} column '{name}'") for name, values in columns.items()}
    return {
        name: join(kinds.get(name, pa.null()), here.get(name, pa.null())) for name in dict.fromkeys((*kinds, *here))
    }


def _write(
    chunks: Iterable[Columns], kinds: Mapping[str, pa.DataType], target: Path, origin: str
) -> tuple[int, dict[str, pa.DataType]]:
    schema, wider, num_rows = pa.schema(list(kinds.items())), dict(kinds), 0
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for columns in chunks:
            wider = _wider(wider, columns, origin)
            rows = len(next(iter(columns.values()), ()))
            if wider == kinds:
                arrays = [
                    value_array(columns[name], kind, f"{origin} column '{name}'")
                    if name in columns
                    else pa.nulls(rows, kind)
                    for name, kind in kinds.items()
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            num_rows += rows
    return num_rows, wider


def value_kind(values: Iterable[Any]) -> pa.DataType:
    """The kind that holds Python values; dates written as text are dates, objects and mixed lists are text."""
    held = [value for value in values if value is not None]
    types = set(map(type, held))
    if not types:
        return pa.null()
    if types == {bool}:
        return pa.bool_()
    if types == {int}:
        return pa.int64() if max(map(abs, held)) <= MOST_INT else pa.float64()
    if types <= {int, float}:
        return pa.float64()
    if types == {str}:
        # dates alone are told by their spelling, so a few values rule them out for ordinary text
        few = text_kind(text_array(held[:FEW]), numbers=False)
        return few if pa.types.is_string(few) else text_kind(text_array(held), numbers=False)
    if types == {bytes}:
        return pa.binary()
    if types == {list}:
        inner = value_kind(chain.from_iterable(held))
        plain = {type(value) for value in chain.from_iterable(held)} & {list, dict} == set()
        return pa.list_(pa.string() if inner not in PLAIN else inner) if plain else pa.string()
    return pa.string()


PLAIN = (pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.string())


PLAIN_TEXT = {str, type(None)}


def _kind(values: Sequence[Any], where: str) -> pa.DataType:
    try:
        return value_kind(values)
    except UnicodeEncodeError as error:
        raise _no_text(where) from error


def _texts(values: Sequence[str | None], where: str) -> pa.Array:
    try:
        return text_array(values)
    except UnicodeEncodeError as error:
        raise _no_text(where) from error


def _no_text(where: str) -> DataError:
    return DataError(f"{where} must hold Unicode text", "half a letter (a lone surrogate)", "Remove it")


def value_array(values: Sequence[Any], kind: pa.DataType, where: str) -> pa.Array:
    """Python values as a kind that holds them.

    Raises: DataError for bytes among other values.
    """
    if pa.types.is_null(kind):
        return pa.nulls(len(values))
    if pa.types.is_string(kind):
        if set(map(type, values)) <= PLAIN_TEXT:
            return _texts(values, where)
        return _texts([None if value is None else as_text(value, where) for value in values], where)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        found = converted(text_array(values), kind)
        assert found is not None, "a kind was joined that does not hold its parts"
        return found
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        values = [
            None if value is None else [None if v is None else as_text(v, where) for v in value] for value in values
        ]
    if pa.types.is_float64(kind):
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, kind)


def as_text(value: Any, where: str) -> str:
    """A value's plain spelling: true and false in lower case, lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise DataError(f"{where} must hold values of one kind", "bytes among other values", "Convert the column")
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
