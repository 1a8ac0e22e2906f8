"""Rows that occur twice, in one part or across parts. Told by 64-bit hashes, of many rows by a share of all hashes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.clean.hashing import Hashes, hash_rows
from ceiba.fields.columns import as_labels
from ceiba.read import Frame


@dataclass(frozen=True)
class Duplicates:
    """How many rows repeat an earlier one of their part, and how many rows of other parts are also among the first."""

    within: dict[str, int]
    across: dict[str, int]
    is_exact: bool = True
    """Whether they were counted and not estimated."""


MOST_HASHES = 1 << 19
"""Of a part that are kept, about. Rows that are alike have one hash, so some of all hashes tell of them all."""


def find_duplicates(parts: Mapping[str, Frame], columns: Sequence[str]) -> Duplicates:
    """Count rows that are alike in these columns; `parts` begins with the training rows.

    A column that the parts hold by different types is compared by its values' text.
    """
    common = [name for name in columns if all(name in frame.names for frame in parts.values())]
    if not common:
        return Duplicates({}, {})
    as_text = {name for name in common if len({str(frame.schema.field(name).type) for frame in parts.values()}) > 1}
    every = 1
    while max(frame.num_rows for frame in parts.values()) > every * MOST_HASHES:
        every *= 2
    hashes = {name: _hashes(frame, common, as_text, every) for name, frame in parts.items()}
    within = {name: every * (len(found) - len(np.unique(found))) for name, found in hashes.items()}
    first, *others = hashes
    base = np.unique(hashes[first])
    across = {name: every * int(np.isin(hashes[name], base).sum()) for name in others}
    return Duplicates(within, across, every == 1)


def _hashes(frame: Frame, columns: Sequence[str], as_text: set[str], every: int) -> Hashes:
    """The hashes of all rows, or those of them that `every` divides."""
    found = [np.empty(0, dtype=np.uint64)]
    for batch in frame.batches(tuple(columns)):
        one = hash_rows(_comparable(batch, as_text))
        found.append(one if every == 1 else one[one % np.uint64(every) == 0])
    return np.concatenate(found)


def _comparable(batch: pa.RecordBatch, as_text: set[str]) -> pa.RecordBatch:
    if not as_text:
        return batch
    columns = [
        _labels(column) if name in as_text else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _labels(column: pa.Array) -> pa.Array:
    try:
        return as_labels(column)
    except DataError:
        return column  # lists and bytes have no text: by different types they are different
