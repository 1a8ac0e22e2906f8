"""What the targets say about rows: which have one, and which class it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.positions import positions
from ceiba.fields.columns import distinct_values
from ceiba.read import Column, Frame

MOST_STRATA = 1000
"""Above it, values are too many to be spread evenly."""
RECUR = 3
"""How often a class must occur on average to be spread over parts."""
FEW_NUMBERS = 20
"""A target of numbers with at most this many values is a class."""


def is_missing(column: pa.Array) -> NDArray[np.bool_]:
    """Null, NaN, and text without a sign in it."""
    if pa.types.is_dictionary(column.type):
        places = np.asarray(column.indices.fill_null(-1), dtype=np.int64)
        return np.asarray(np.append(is_missing(column.dictionary), True)[places], dtype=np.bool_)
    missing = np.asarray(column.is_null(nan_is_null=pa.types.is_floating(column.type)))
    if pa.types.is_string(column.type):
        blank = pc.equal(pc.utf8_length(column), 0)
        missing = missing | np.asarray(blank.fill_null(True))
    return missing


def has_target(frame: Frame, targets: Sequence[str]) -> NDArray[Any]:
    """Positions of the rows with at least one target; of all rows where there is none to look at."""
    has = np.ones(frame.num_rows, dtype=np.bool_)
    start = 0
    for batch in frame.batches(tuple(targets), coded=True) if targets else ():
        absent = is_missing(batch.column(0))
        for column in batch.columns[1:]:
            absent = absent & is_missing(column)
        has[start : start + len(absent)] = ~absent
        start += len(absent)
    return positions(frame.num_rows)[has]


def stratum(frame: Frame, targets: Sequence[str]) -> tuple[str, NDArray[np.int16]] | None:
    """The first target that is a class, and its code in every row; nothing where all are numbers, lists or too many."""
    for name in targets:
        codes = _class_codes(frame.column(name, coded=True))
        if codes is not None:
            return name, codes
    return None


def _class_codes(column: Column) -> NDArray[np.int16] | None:
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_temporal(kind):
        return None
    most = FEW_NUMBERS if pa.types.is_floating(kind) or pa.types.is_integer(kind) else MOST_STRATA
    known: dict[object, int] = {}
    codes = []
    for chunk in column:
        rows, values = distinct_values(chunk)
        met = np.bincount(rows + 1, minlength=len(values) + 1) > 0  # a dictionary may hold what these rows do not
        places = [
            known.setdefault(value, len(known)) if is_met else 0
            for value, is_met in zip([None, *values.to_pylist()], met.tolist(), strict=True)
        ]
        if len(known) > most:
            return None
        codes.append(np.asarray(places, dtype=np.int16)[rows + 1])
    num_rows = sum(len(part) for part in codes)
    return np.concatenate(codes) if num_rows >= RECUR * len(known) > 0 else None
