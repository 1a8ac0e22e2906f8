"""Tags: a label for each word of a row."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from ceiba.fields.columns import no_values
from ceiba.fields.field import Encoded, Field, FieldSpec, Ragged, Target
from ceiba.fields.lists import as_words


@dataclass(frozen=True)
class TagsField(Field):
    """Lists of tags → numbers from 1 on; 0 is a place without a tag, or one with a tag that training never saw."""

    kind: ClassVar[str] = "tags"

    labels: tuple[str, ...]
    counts: tuple[int, ...]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label: place for place, label in enumerate(self.labels, 1)}

    def encode(self, column: pa.Array) -> Encoded:
        return {"tags": self.target(column)}

    def target(self, column: pa.Array) -> Ragged:
        tags, offsets = as_words(column)
        return Ragged(np.fromiter((self._places.get(tag, 0) for tag in tags), np.int64, len(tags)), offsets)


class TagsSpec(FieldSpec):
    """A column of tags, one for each word of another column."""

    field_class: ClassVar[type[Field]] = TagsField

    type: Literal["tags"] = "tags"
    """The kind of the column."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> Field:
        counts: Counter[str] = Counter()
        for chunk in column:
            counts.update(as_words(chunk)[0])
        if not counts:
            raise no_values("must hold tags")
        labels = tuple(sorted(counts))
        return TagsField(labels, tuple(counts[label] for label in labels))
