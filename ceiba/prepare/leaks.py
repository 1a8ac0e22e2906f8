"""Columns that know the target: told from a sample, on rows that were not looked at before."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.keys import generator, permutation
from ceiba.fields.instants import as_instants
from ceiba.read import Frame

SAMPLE_ROWS = 20_000
LEAST_ROWS = 40
"""With fewer rows, a column may seem to know the target by chance."""
MOST_BINS = 256
ROWS_A_BIN = 8
LEAK_ERROR = 0.05
"""Share of the error without the column that is left with it, from which a column is said to know a class."""
LEAK_VARIANCE = 0.01
"""The same of the variance, for a number."""

Codes = NDArray[np.int64]


def sample_table(frame: Frame, columns: tuple[str, ...], seed: int = 0, limit: int = SAMPLE_ROWS) -> pa.Table:
    """Some rows of a frame, chosen by a keyed draw, in their order."""
    if frame.num_rows > limit:
        chosen = generator(seed, "profile").choice(frame.num_rows, limit, replace=False, shuffle=False)
        frame = frame.take(np.sort(chosen))
    batches = list(frame.batches(columns))
    schema = pa.schema([frame.schema.field(name) for name in columns])
    return pa.Table.from_batches([batch.replace_schema_metadata(None) for batch in batches], schema)


def find_leaks(table: pa.Table, kinds: Mapping[str, str], target: str) -> dict[str, float]:
    """Column → share of the target's uncertainty that is left once the column is known, for columns where it is near 0.

    One half of the rows says what each value of the column goes with, the other half is told by it.
    """
    known = table.filter(pc.is_valid(table[target]))
    if known.num_rows < LEAST_ROWS:
        return {}
    order = permutation(known.num_rows, 0, "leaks")
    half = len(order) // 2
    is_number = kinds[target] == "number"
    truth = _numbers(known[target]) if is_number else _places(known[target])
    left = {}
    for name, kind in kinds.items():
        if name == target or name not in table.schema.names or kind not in ("number", "binary", "category", "date"):
            continue
        codes = _codes(known[name], kind)
        if is_number:
            share = _variance_left(codes[order], np.asarray(truth[order], dtype=np.float64), half)
        else:
            share = _error_left(codes[order], np.asarray(truth[order], dtype=np.int64), half)
        if share <= (LEAK_VARIANCE if is_number else LEAK_ERROR):
            left[name] = share
    return left


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy(), dtype=np.float64)


def _places(column: pa.ChunkedArray) -> Codes:
    """A code for each value; missing ones have their own."""
    encoded = column.combine_chunks()
    encoded = pa.concat_arrays(encoded.chunks) if isinstance(encoded, pa.ChunkedArray) else encoded
    indices = encoded.dictionary_encode().indices.fill_null(-1)
    return np.asarray(indices).astype(np.int64) + 1


def _codes(column: pa.ChunkedArray, kind: str) -> Codes:
    """Codes of a column's values: those of numbers and dates are bins of equal numbers of rows where they are many."""
    if kind == "date" and pa.types.is_string(column.type):
        instants, _ = as_instants(column, "iso", None, None)
        values = np.where(np.isnat(instants), np.nan, instants.astype(np.int64))
    elif kind == "date":
        values = _numbers(column.cast(pa.timestamp("us")).cast(pa.int64()))
    elif kind == "number":
        values = _numbers(column)
    else:
        return _places(column)
    present = values[~np.isnan(values)]
    edges = np.unique(present)
    bins = max(2, min(MOST_BINS, len(values) // ROWS_A_BIN))
    if len(edges) > bins:
        edges = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values) + 1).astype(np.int64)


def _error_left(codes: Codes, truth: Codes, half: int) -> float:
    """Errors of the most frequent class of each code, over those of the most frequent class of all."""
    classes = int(truth.max()) + 1
    kinds, codes = np.unique(codes, return_inverse=True)
    counts = np.zeros((len(kinds), classes))
    np.add.at(counts, (codes[:half], truth[:half]), 1)
    usual = int(counts.sum(axis=0).argmax())
    guess = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), usual)
    errors = np.count_nonzero(guess[codes[half:]] != truth[half:])
    usual_errors = np.count_nonzero(truth[half:] != usual)
    return errors / usual_errors if usual_errors else 1.0


def _variance_left(codes: Codes, truth: NDArray[np.float64], half: int) -> float:
    """Squared error of each code's mean rank, over that of the mean rank of all: ranks, so that no outlier decides."""
    ranks = np.argsort(np.argsort(truth, kind="stable"), kind="stable").astype(np.float64)
    kinds, codes = np.unique(codes, return_inverse=True)
    counts = np.bincount(codes[:half], minlength=len(kinds))
    sums = np.bincount(codes[:half], ranks[:half], minlength=len(kinds))
    middle = ranks[:half].mean()
    seen = np.flatnonzero(counts)
    # a value that was not seen lies between its neighbors
    guess = np.interp(np.arange(len(kinds)), seen, sums[seen] / counts[seen])
    whole = ((ranks[half:] - middle) ** 2).sum()
    return float(((ranks[half:] - guess[codes[half:]]) ** 2).sum() / whole) if whole else 1.0
