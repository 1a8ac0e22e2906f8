"""Operations on columns of any kind."""

from collections.abc import Sequence
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator

from ceiba.base.errors import DataError, nearest
from ceiba.clean.spec import CleanSpec, Names

Scalar = str | bool | int | float | None


def _text_keys(value: object) -> object:
    return (
        {str(key).lower() if isinstance(key, bool) else str(key): item for key, item in value.items()}
        if isinstance(value, dict)
        else value
    )


class ReplaceSpec(CleanSpec):
    """Some values replaced by others; a value that is not named stays. 39, 39.0 and "39" are one value."""

    type: Literal["replace"] = "replace"
    columns: dict[str, Annotated[dict[str, Scalar], BeforeValidator(_text_keys)]]
    """Column → {value: what to put in its place}; null for a missing value."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        changes = self.columns[name]
        keys, values = list(changes), list(changes.values())
        known = [value for value in values if value is not None]
        if _isas_float(column.type) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in known
        ):
            whole = pa.types.is_integer(column.type) and all(isinstance(value, int) for value in known)
            kind = pa.int64() if whole else pa.float64()
            column, put = column.cast(kind), pa.array(values, kind)
        else:
            put = pa.array([_spelling(value) for value in values], pa.string())
        places = pc.index_in(_matched(column), value_set=_matched_keys(keys, column))
        return pc.if_else(pc.is_valid(places), pc.take(put, places), column.cast(put.type))


def _isas_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _spelling(value: Scalar) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _matched(column: pa.Array) -> pa.Array:
    return column.cast(pa.float64() if _isas_float(column.type) else pa.string())


def _matched_keys(keys: Sequence[str], column: pa.Array) -> pa.Array:
    if not _isas_float(column.type):
        return pa.array(keys, pa.string())
    found = []
    for key in keys:
        try:
            found.append(float(key))
        except ValueError:
            found.append(float("nan"))  # text is found in no column of numbers; NaN keeps the places of the others
    return pa.array(found, pa.float64())


class RenameSpec(CleanSpec):
    """Columns given other names. A table that has the new name already may lack the old one."""

    type: Literal["rename"] = "rename"
    columns: dict[str, str]
    """Old name → new name."""

    def before(self, names: frozenset[str]) -> frozenset[str]:
        return names | {old for old, new in self.columns.items() if new in names}

    def check(self, schema: pa.Schema, origin: str) -> None:
        for old, new in self.columns.items():
            if old not in schema.names and new not in schema.names:
                raise DataError(f"clean.rename must name a column of {origin}", f"'{old}'", nearest(old, schema.names))
            if old in schema.names and new in schema.names and new not in self.columns:
                raise DataError(
                    f"clean.rename must give a name that {origin} does not have", f"'{new}'", "Choose another name"
                )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.rename_columns([self.columns.get(name, name) for name in batch.schema.names])


class DropSpec(CleanSpec):
    """Columns left out."""

    type: Literal["drop"] = "drop"
    columns: Names
    """The columns."""

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select([name for name in batch.schema.names if name not in self.columns])
