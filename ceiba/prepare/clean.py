"""Cleaning: a closed catalog of operations on whole columns, and on rows.

Operations on columns are part of what a model expects, so the same ones run before training and before serving
(`Cleaner`). Operations on rows (`drop_missing`, `drop_duplicates`) only choose what is trained on and measured.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BeforeValidator

from ceiba.base.errors import DataError, nearest
from ceiba.base.spec import Spec, one_of
from ceiba.prepare.hashing import hash_rows
from ceiba.read import Frame

Scalar = str | bool | int | float | None


def _text_keys(value: object) -> object:
    return (
        {str(key).lower() if isinstance(key, bool) else str(key): item for key, item in value.items()}
        if isinstance(value, dict)
        else value
    )


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]


class CleanSpec(Spec):
    """One operation. In a recipe: its bare name, or `{name: columns}`."""

    type: str
    rows: ClassVar[bool] = False
    """Whether it chooses rows instead of changing columns."""

    def named(self) -> tuple[str, ...]:
        """The columns it must find; empty where it acts on whatever fits."""
        columns: Any = getattr(self, "columns", None)
        return tuple(columns) if columns else ()

    def before(self, names: frozenset[str]) -> frozenset[str]:
        """The columns it must see so that these come out right."""
        return names

    def check(self, schema: pa.Schema, origin: str) -> None:
        """Raises: DataError for a column that the operation names and the table lacks."""
        for name in self.named():
            if name not in schema.names:
                raise DataError(
                    f"clean.{self.type} must name a column of {origin}", f"'{name}'", nearest(name, schema.names)
                )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with columns changed; a named column that is absent is passed over."""
        for name in self.named():
            if name in batch.schema.names:
                batch = _set(batch, name, self.change(batch.column(name), name))
        return batch

    def change(self, column: pa.Array, name: str) -> pa.Array:
        """One column, changed."""
        raise NotImplementedError


def _set(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    if name not in batch.schema.names:
        return batch.append_column(name, column)
    place = batch.schema.get_field_index(name)
    return batch.set_column(place, pa.field(name, column.type, metadata=batch.schema.field(name).metadata), column)


def _number(column: pa.Array, operation: str, name: str) -> pa.Array:
    try:
        return column.cast(pa.float64())
    except pa.ArrowException as error:
        problem = str(error).splitlines()[0]
        raise DataError(
            f"clean.{operation} needs a column of numbers, '{name}'", problem, "Add the spelling to data.missing"
        ) from error


def _text(column: pa.Array, operation: str, name: str) -> pa.Array:
    if pa.types.is_string(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.string())
    raise DataError(f"clean.{operation} needs a column of text, '{name}'", str(column.type), "Leave this column out")


class StripSpec(CleanSpec):
    """Blanks at both ends of text removed; text that is nothing else becomes missing."""

    type: Literal["strip"] = "strip"
    columns: Names | None = None
    """The columns; all columns of text when left out."""

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for field in batch.schema:
            if field.name in self.columns if self.columns is not None else pa.types.is_string(field.type):
                batch = _set(batch, field.name, self.change(batch.column(field.name), field.name))
        return batch

    def change(self, column: pa.Array, name: str) -> pa.Array:
        stripped = pc.utf8_trim_whitespace(_text(column, self.type, name))
        return pc.if_else(pc.equal(stripped, ""), pa.scalar(None, pa.string()), stripped)


class LowerSpec(CleanSpec):
    """Text in lower case."""

    type: Literal["lower"] = "lower"
    columns: Names
    """The columns."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        return pc.utf8_lower(_text(column, self.type, name))


class StripSuffixSpec(CleanSpec):
    """An ending removed where text has it."""

    type: Literal["strip_suffix"] = "strip_suffix"
    columns: dict[str, str]
    """Column → ending."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        ending, text = self.columns[name], _text(column, self.type, name)
        if not ending:
            return text
        return pc.if_else(pc.ends_with(text, ending), pc.utf8_slice_codeunits(text, 0, -len(ending)), text)


class ReplaceSpec(CleanSpec):
    """Some values replaced by others; a value that is not named stays. 39, 39.0 and "39" are one value."""

    type: Literal["replace"] = "replace"
    columns: dict[str, Annotated[dict[str, Scalar], BeforeValidator(_text_keys)]]
    """Column → {value: what to put in its place}; null for a missing value."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        changes = self.columns[name]
        keys, values = list(changes), list(changes.values())
        known = [value for value in values if value is not None]
        if _is_number(column.type) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in known
        ):
            whole = pa.types.is_integer(column.type) and all(isinstance(value, int) for value in known)
            kind = pa.int64() if whole else pa.float64()
            column, put = column.cast(kind), pa.array(values, kind)
        else:
            put = pa.array([_spelling(value) for value in values], pa.string())
        places = pc.index_in(_matched(column), value_set=_matched_keys(keys, column))
        return pc.if_else(pc.is_valid(places), pc.take(put, places), column.cast(put.type))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _spelling(value: Scalar) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _matched(column: pa.Array) -> pa.Array:
    return column.cast(pa.float64() if _is_number(column.type) else pa.string())


def _matched_keys(keys: Sequence[str], column: pa.Array) -> pa.Array:
    if not _is_number(column.type):
        return pa.array(keys, pa.string())
    found = []
    for key in keys:
        try:
            found.append(float(key))
        except ValueError:
            found.append(float("nan"))  # text is found in no column of numbers; NaN keeps the places of the others
    return pa.array(found, pa.float64())


class Log1pSpec(CleanSpec):
    """The natural logarithm of 1 + value, for counts and amounts."""

    type: Literal["log1p"] = "log1p"
    columns: Names
    """The columns."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        numbers = _number(column, self.type, name)
        low = pc.min(numbers).as_py()
        if low is not None and low <= -1:
            raise DataError(
                f"clean.log1p needs numbers above -1 in column '{name}'", low, "Clip the column first, or leave it out"
            )
        return pc.log1p(numbers)


class ClipSpec(CleanSpec):
    """Numbers held inside bounds."""

    type: Literal["clip"] = "clip"
    columns: dict[str, tuple[float | None, float | None]]
    """Column → [lowest, highest]; null for no bound."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        low, high = self.columns[name]
        numbers = _number(column, self.type, name)
        if low is not None:
            numbers = pc.max_element_wise(numbers, low, skip_nulls=False)
        return numbers if high is None else pc.min_element_wise(numbers, high, skip_nulls=False)


class JoinSpec(CleanSpec):
    """Columns of text joined into one by a blank; missing parts are left out.

    A table that has the result already may lack the parts.
    """

    type: Literal["join"] = "join"
    columns: dict[str, tuple[str, ...]]
    """New column → the columns it is made of."""

    def before(self, names: frozenset[str]) -> frozenset[str]:
        return names | {part for new, parts in self.columns.items() if new in names for part in parts}

    def check(self, schema: pa.Schema, origin: str) -> None:
        for new, parts in self.columns.items():
            for part in parts:
                if part not in schema.names and new not in schema.names:
                    raise DataError(
                        f"clean.join must name a column of {origin}", f"'{part}'", nearest(part, schema.names)
                    )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for new, parts in self.columns.items():
            if all(part in batch.schema.names for part in parts):
                texts = [batch.column(part).cast(pa.string()) for part in parts]
                # pyarrow 26's own null_handling="skip" forgets a row whose parts are all missing
                joined = texts[0]
                for text in texts[1:]:
                    joined = pc.coalesce(pc.binary_join_element_wise(joined, text, " "), joined, text)
                batch = _set(batch, new, joined)
        return batch


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


class DropMissingSpec(CleanSpec):
    """Rows with a missing value left out."""

    type: Literal["drop_missing"] = "drop_missing"
    rows: ClassVar[bool] = True
    columns: Names | None = None
    """The columns that must have a value; all when left out."""

    def kept(self, frame: Frame) -> NDArray[np.int64]:
        """The positions of the rows that stay; 1 byte a row while it runs."""
        masks = [_present(batch) for batch in frame.batches(self.columns)]
        return np.flatnonzero(np.concatenate(masks)) if masks else np.empty(0, dtype=np.int64)


class DropDuplicatesSpec(CleanSpec):
    """Rows equal to an earlier row left out. Told by a 64-bit hash: 8 bytes a row while it runs."""

    type: Literal["drop_duplicates"] = "drop_duplicates"
    rows: ClassVar[bool] = True
    columns: Names | None = None
    """The columns compared; all when left out."""

    def kept(self, frame: Frame) -> NDArray[np.int64]:
        """The positions of the rows that stay, the first of each kind."""
        hashes = [hash_rows(batch) for batch in frame.batches(self.columns)]
        return (
            np.sort(np.unique(np.concatenate(hashes), return_index=True)[1]) if hashes else np.empty(0, dtype=np.int64)
        )


def _present(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    mask = np.ones(batch.num_rows, dtype=np.bool_)
    for column in batch.columns:
        if column.null_count or pa.types.is_floating(column.type):
            mask &= ~np.asarray(column.is_null(nan_is_null=pa.types.is_floating(column.type)))
    return mask


CLEAN: dict[str, type[CleanSpec]] = {
    "strip": StripSpec,
    "lower": LowerSpec,
    "strip_suffix": StripSuffixSpec,
    "replace": ReplaceSpec,
    "log1p": Log1pSpec,
    "clip": ClipSpec,
    "join": JoinSpec,
    "rename": RenameSpec,
    "drop": DropSpec,
    "drop_missing": DropMissingSpec,
    "drop_duplicates": DropDuplicatesSpec,
}


def _expand(value: object) -> object:
    """`{clip: {age: [0, 100]}}` means `{type: clip, columns: {age: [0, 100]}}`."""
    if isinstance(value, dict) and len(value) == 1 and "type" not in value:
        name, columns = next(iter(value.items()))
        return {"type": name, "columns": columns}
    return value


CleanOption: Any = Annotated[one_of(CLEAN), BeforeValidator(_expand)]
