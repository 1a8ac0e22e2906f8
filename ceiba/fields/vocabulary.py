"""Labels in a fixed order, and where a value stands among them."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.fields.columns import as_labels, distinct_values, spelled_alike

UNSEEN, MISSING = -1, -2
FEW_ROWS = 256
"""Up to so many rows a look-up in a dict is quicker than Arrow's passes over the column."""


class Vocabulary:
    """Finds the place of each value of a column; `numeric` labels are found in any spelling of their number."""

    def __init__(self, labels: tuple[str, ...], numeric: bool):
        self._labels = pa.array(labels, pa.string())
        self._numeric = numeric
        self._known: dict[str | None, int] = {**{label: place for place, label in enumerate(labels)}, None: MISSING}
        self._last: tuple[pa.Array, NDArray[np.int64]] = (pa.nulls(0), np.empty(0, np.int64))

    def find(self, column: pa.Array) -> NDArray[np.int64]:
        """For each row the place of its label, UNSEEN or MISSING; text is handled once a distinct value.

        The chunks of one column often share their dictionary, so what was found for the last one is kept.
        """
        if len(column) <= FEW_ROWS and pa.types.is_string(column.type):
            found = [self._known.get(value) for value in column.to_pylist()]
            if None not in found:  # every value is a label as it is written, or null
                return np.array(found, dtype=np.int64)
        rows, values = distinct_values(column)
        known, places = self._last
        if not values.equals(known):
            places = np.append(self._places(values), MISSING)
            self._last = values, places
        return places[rows]

    def _places(self, values: pa.Array) -> NDArray[np.int64]:
        if pa.types.is_string(values.type):
            found = pc.index_in(values, value_set=self._labels)
            if found.null_count == 0:  # a label names itself: the common case needs no further look
                return np.asarray(found, dtype=np.int64)
        labels = as_labels(values)
        found = pc.index_in(labels, value_set=self._labels)
        if self._numeric:
            found = pc.coalesce(found, pc.index_in(spelled_alike(labels), value_set=self._labels))
        places = pc.fill_null(found, UNSEEN).to_numpy(zero_copy_only=False).astype(np.int64)
        return np.where(labels.is_null().to_numpy(zero_copy_only=False), MISSING, places)


def is_numeric(labels: list[str]) -> bool:
    """Whether every label is spelled as a number column spells it, so that other spellings of a number may match."""
    column = pa.array(labels, pa.string())
    return bool(pc.all(pc.fill_null(pc.equal(spelled_alike(column), column), False)).as_py())


def natural_order(labels: list[str]) -> list[int]:
    """Numbers by size, other labels by their letters, so that no stands before Yes."""
    sizes = [_size(label) for label in labels]
    if all(size is not None for size in sizes):
        return sorted(range(len(labels)), key=lambda place: (sizes[place], labels[place]))
    return sorted(range(len(labels)), key=lambda place: (labels[place].casefold(), labels[place]))


def _size(label: str) -> float | None:
    try:
        size = float(label)
    except ValueError:
        return None
    return size if math.isfinite(size) else None
