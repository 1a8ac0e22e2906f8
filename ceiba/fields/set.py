"""A set of labels: the genres of a film, the tags of a photograph."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields.columns import as_labels, distinct_labels, no_values, plain
from ceiba.fields.counts import Counts
from ceiba.fields.field import Encoded, Field, FieldSpec, Target
from ceiba.fields.vocabulary import Vocabulary, is_numeric, natural_order

Members = tuple[NDArray[np.int64], pa.Array, NDArray[np.bool_]]


def members(column: pa.Array, separator: str | None) -> Members:
    """The row of each member, the members, and which rows are missing (null or empty text, but no empty list).

    Raises: DataError for text without a separator.
    """
    array = plain(column)
    if pa.types.is_null(array.type):
        return np.zeros(0, np.int64), pa.array([], pa.string()), np.ones(len(array), np.bool_)
    if not _is_list(array.type):
        if separator is None:
            raise DataError("must hold lists, or have a separator", f"the Arrow type {array.type}", "Set its separator")
        array = pc.split_pattern(as_labels(array), pattern=separator)
    missing = array.is_null().to_numpy(zero_copy_only=False)
    rows = pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64)
    return rows, pc.list_flatten(array), missing


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


@dataclass(frozen=True)
class SetField(Field):
    """Sets → one column of 0 and 1 for each label; a column for labels that were left out, and for missing rows."""

    kind: ClassVar[str] = "set"

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    numeric: bool
    separator: str | None
    has_rest: bool
    indicator: bool
    missing_target: Literal["missing", "empty"]

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.labels, self.numeric)

    def _hot(self, column: pa.Array) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Rows × (labels, one for the rest, one for no label at all), and which rows are missing."""
        rows, labels, missing = members(column, self.separator)
        hot = np.zeros((len(missing), len(self.labels) + 2), np.float32)
        found = self._vocabulary.find(labels)
        hot[rows, np.where(found >= 0, found, len(self.labels) - 1 - found)] = 1.0
        return hot[:, :-1], missing

    def encode(self, column: pa.Array) -> Encoded:
        hot, missing = self._hot(column)
        parts = [hot] if self.has_rest else [hot[:, :-1]]
        if self.indicator:
            parts.append(missing[:, None].astype(np.float32))
        return {"numbers": np.concatenate(parts, axis=1)}

    def target(self, column: pa.Array) -> NDArray[np.float32]:
        hot, missing = self._hot(column)
        if self.missing_target == "missing":
            hot[missing] = np.nan
        return hot[:, :-1]

    def number_parts(self) -> tuple[str, ...]:
        names = [f" {label}" for label in self.labels]
        return (*names, *[" other labels"] * self.has_rest, *[" is missing"] * self.indicator)


class SetSpec(FieldSpec):
    """A column of sets of labels."""

    field_class: ClassVar[type[Field]] = SetField

    type: Literal["set"] = "set"
    """The kind of the column."""
    separator: str | None = None
    """What stands between two labels in text; null: the column holds lists."""
    min_rows: int = 1
    """A label of fewer training rows is left out."""
    max_labels: int = 256
    """The most frequent labels are kept; the rest share one column."""
    indicator: bool | Literal["auto"] = "auto"
    """Whether a column marks missing rows; `auto`: if training rows miss some."""
    missing_target: Literal["missing", "empty"] = "missing"
    """What an empty cell is when sets are predicted: `missing` (the row is left out), or the `empty` set."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> SetField:
        counts, any_missing = Counts(), False
        for chunk in column:
            rows, labels, missing = members(chunk, self.separator)
            any_missing = any_missing or bool(missing.any())
            places, distinct = distinct_labels(as_labels(labels))
            pairs = np.unique(np.stack([rows, places]), axis=1)
            counts.add(pairs[1], distinct)
        kept, rows_with = counts.most(self.max_labels, self.min_rows)
        if not counts:
            raise no_values("must hold a label")
        order = natural_order(kept)
        return SetField(
            labels=tuple(kept[place] for place in order),
            counts=tuple(rows_with[place] for place in order),
            numeric=is_numeric(kept),
            separator=self.separator,
            has_rest=len(counts) > len(kept),
            indicator=any_missing if self.indicator == "auto" else self.indicator,
            missing_target=self.missing_target,
        )
