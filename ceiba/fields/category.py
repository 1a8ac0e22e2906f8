"""A category: one of a list of labels."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.fields.columns import distinct_labels, no_values, spelled_alike
from ceiba.fields.counts import Counts
from ceiba.fields.field import Encoded, Field, FieldSpec, Target

MISSING, UNSEEN, FIRST = 0, 1, 2


@dataclass(frozen=True)
class CategoryField(Field):
    """Labels → codes: 0 missing, 1 unseen in training, 2 and up the labels; as a target the code less 2."""

    kind: ClassVar[str] = "category"

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    numeric: bool

    @cached_property
    def _vocabulary(self) -> pa.Array:
        return pa.array(self.labels, pa.string())

    def encode(self, column: pa.Array) -> Encoded:
        return {"codes": self._codes(column)[:, None]}

    def target(self, column: pa.Array) -> NDArray[np.int64]:
        return self._codes(column).astype(np.int64) - FIRST

    def _codes(self, column: pa.Array) -> NDArray[np.int32]:
        places, labels = distinct_labels(column)
        found = pc.index_in(labels, value_set=self._vocabulary)
        if self.numeric:
            found = pc.coalesce(found, pc.index_in(spelled_alike(labels), value_set=self._vocabulary))
        codes = np.where(labels.is_null(), MISSING, pc.fill_null(found, UNSEEN - FIRST).to_numpy() + FIRST)
        return np.append(codes, MISSING)[places].astype(np.int32)

    def cardinalities(self) -> tuple[int, ...]:
        return (len(self.labels) + FIRST,)


class CategorySpec(FieldSpec):
    """A column of labels."""

    field_class: ClassVar[type[Field]] = CategoryField

    type: Literal["category"] = "category"
    """The kind of the column."""
    min_rows: int = 1
    """A label seen in fewer training rows counts as unseen."""
    max_labels: int = 10_000
    """The most frequent labels are kept; the rest count as unseen."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> CategoryField:
        counts = Counts()
        for chunk in column:
            counts.add(*distinct_labels(chunk))
        labels, rows = counts.most(self.max_labels, self.min_rows)
        if not counts:
            raise no_values("must hold a label")
        order = natural_order(labels)
        return CategoryField(
            labels=tuple(labels[place] for place in order),
            counts=tuple(rows[place] for place in order),
            numeric=is_numeric(labels),
        )


def is_numeric(labels: list[str]) -> bool:
    """Whether every label is spelled as a number column spells it, so that other spellings of a number may match."""
    column = pa.array(labels, pa.string())
    return bool(pc.all(pc.fill_null(pc.equal(spelled_alike(column), column), False)).as_py())


def natural_order(labels: list[str]) -> list[int]:
    """Numbers by size, other labels by their characters."""
    sizes = [_size(label) for label in labels]
    if all(size is not None for size in sizes):
        return sorted(range(len(labels)), key=lambda place: (sizes[place], labels[place]))
    return sorted(range(len(labels)), key=labels.__getitem__)


def _size(label: str) -> float | None:
    try:
        size = float(label)
    except ValueError:
        return None
    return size if math.isfinite(size) else None
