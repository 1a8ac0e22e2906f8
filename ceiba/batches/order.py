"""The order of an epoch: a keyed permutation, with rows of like length brought together where length costs."""

import numpy as np
from numpy.typing import NDArray

from ceiba.base.keys import permutation
from ceiba.base.positions import positions

WINDOW_BATCHES = 50
"""Rows are sorted by length inside windows of this many batches: little padding, and still a shuffled order."""


def epoch_order(
    num_rows: int, batch_rows: int, seed: int, epoch: int, lengths: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """The batches of one epoch as arrays of row positions, each row once; the last batch may be smaller.

    A function of its arguments alone (law 2), so that a resumed run continues at any batch without replaying.
    """
    order = permutation(num_rows, seed, "order", epoch)
    if lengths is None or num_rows <= batch_rows:
        return [order[start : start + batch_rows] for start in range(0, num_rows, batch_rows)]
    batches: list[NDArray[np.int64]] = []
    window_rows = WINDOW_BATCHES * batch_rows
    for start in range(0, num_rows, window_rows):
        window = order[start : start + window_rows]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[at : at + batch_rows] for at in range(0, len(window), batch_rows)]
    return [batches[place] for place in permutation(len(batches), seed, "batches", epoch)]


def ordered(num_rows: int, batch_rows: int, lengths: NDArray[np.int64] | None = None) -> list[NDArray[np.int64]]:
    """Every row once without chance, for validation: in order of length where length costs, else in file order."""
    order = positions(num_rows) if lengths is None else np.argsort(lengths, kind="stable")
    return [order[start : start + batch_rows] for start in range(0, num_rows, batch_rows)]
