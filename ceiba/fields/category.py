"""A category: one of a list of labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.fields.columns import label_stream, no_values
from ceiba.fields.counts import Counts
from ceiba.fields.field import Encoded, Field, FieldSpec, Target
from ceiba.fields.vocabulary import Vocabulary, is_numeric, natural_order

FIRST = 2


@dataclass(frozen=True)
class CategoryField(Field):
    """Labels → codes: 0 missing, 1 unseen in training, 2 and up the labels; as a target the code less 2."""

    kind: ClassVar[str] = "category"

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    numeric: bool

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.labels, self.numeric)

    def encode(self, column: pa.Array) -> Encoded:
        return {"codes": (self.target(column) + FIRST).astype(np.int32)[:, None]}

    def target(self, column: pa.Array) -> NDArray[np.int64]:
        return self._vocabulary.find(column)

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
        for places, found in label_stream(column):
            counts.add(places, found)
        labels, rows = counts.most(self.max_labels, self.min_rows)
        if not counts:
            raise no_values("must hold a label")
        order = natural_order(labels)
        return CategoryField(
            labels=tuple(labels[place] for place in order),
            counts=tuple(rows[place] for place in order),
            numeric=is_numeric(labels),
        )
