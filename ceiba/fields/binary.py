"""A yes or a no: a column of two labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError, nearest
from ceiba.fields.columns import bad_value, distinct_labels, no_values
from ceiba.fields.counts import Counts
from ceiba.fields.field import Encoded, Field, FieldSpec, Target
from ceiba.fields.vocabulary import MISSING, UNSEEN, Vocabulary, is_numeric, natural_order

TRUTH_AS_DIGIT = {"false": "0", "true": "1"}


@dataclass(frozen=True)
class BinaryField(Field):
    """Two labels → 0 and 1; as a target the class 0 or 1, negative if missing or unseen."""

    kind: ClassVar[str] = "binary"

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    numeric: bool
    fill: float
    indicator: bool

    @cached_property
    def _known(self) -> tuple[Vocabulary, NDArray[np.int64]]:
        """Every accepted spelling, and its class: a column of true and false also answers to 1 and 0, and back."""
        classes = {label: place for place, label in enumerate(self.labels)}
        for word, digit in TRUTH_AS_DIGIT.items():
            if word in classes:
                classes.setdefault(digit, classes[word])
            elif digit in classes:
                classes.setdefault(word, classes[digit])
        return Vocabulary(tuple(classes), self.numeric), np.array([*classes.values(), MISSING, UNSEEN], dtype=np.int64)

    def encode(self, column: pa.Array) -> Encoded:
        classes = self.target(column)
        missing = classes < 0
        numbers = np.where(missing, np.float32(self.fill), classes.astype(np.float32))
        parts = [numbers, missing.astype(np.float32)] if self.indicator else [numbers]
        return {"numbers": np.stack(parts, axis=1).astype(np.float32)}

    def target(self, column: pa.Array) -> NDArray[np.int64]:
        spellings, classes = self._known
        return classes[spellings.find(column)]

    def number_parts(self) -> tuple[str, ...]:
        return ("", " is missing") if self.indicator else ("",)


class BinarySpec(FieldSpec):
    """A column of two labels."""

    field_class: ClassVar[type[Field]] = BinaryField

    type: Literal["binary"] = "binary"
    """The kind of the column."""
    positive: str | None = None
    """The label that counts as 1; null: the later one in order, as in no and yes, 0 and 1, false and true."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> BinaryField:
        counts, total = Counts(), 0
        for chunk in column:
            total += len(chunk)
            counts.add(*distinct_labels(chunk))
            if len(found := counts.most(3)[0]) > 2:
                rule = f"hold two labels ({found[0]} and {found[1]}), or have the type category"
                raise bad_value(rule, found[2])
        labels, rows = counts.most(2)
        if not labels:
            raise no_values("must hold a label")
        order = self._order(labels)
        labels, rows = [labels[place] for place in order], [rows[place] for place in order]
        share = rows[-1] / sum(rows) if len(rows) == 2 else 0.0
        return BinaryField(tuple(labels), tuple(rows), is_numeric(labels), share, sum(rows) < total)

    def _order(self, labels: list[str]) -> list[int]:
        order = natural_order(labels)
        if self.positive is None:
            return order
        if self.positive not in labels:
            raise DataError(
                "must hold the label named as positive", f"'{self.positive}'", nearest(self.positive, labels)
            )
        return sorted(order, key=lambda place: labels[place] == self.positive)
