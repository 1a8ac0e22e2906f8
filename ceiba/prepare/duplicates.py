"""Rows that occur twice, in one part or across parts. Told by 64-bit hashes: 8 bytes a row."""

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


def find_duplicates(parts: Mapping[str, Frame], columns: Sequence[str]) -> Duplicates:
    """Count rows that are alike in these columns; `parts` begins with the training rows.

    A column that the parts hold by different types is compared by its values' text.
    """
    common = [name for name in columns if all(name in frame.names for frame in parts.values())]
    if not common:
        return Duplicates({}, {})
    as_text = {name for name in common if len({str(frame.schema.field(name).type) for frame in parts.values()}) > 1}
    hashes = {name: _hashes(frame, common, as_text) for name, frame in parts.items()}
    within = {name: len(found) - len(np.unique(found)) for name, found in hashes.items()}
    first, *others = hashes
    base = np.unique(hashes[first])
    return Duplicates(within, {name: int(np.isin(hashes[name], base).sum()) for name in others})


def _hashes(frame: Frame, columns: Sequence[str], as_text: set[str]) -> Hashes:
    found = [hash_rows(_comparable(batch, as_text)) for batch in frame.batches(tuple(columns))]
    return np.concatenate(found) if found else np.empty(0, dtype=np.uint64)


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
