"""A decision tree of one column: where its values are best cut to tell the target."""

import heapq

import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 10_000_000
"""Distinct values × classes above which the table of sums would be too large."""


def tree_splits(
    values: NDArray[np.float32], target: NDArray[np.generic], is_class: bool, leaves: int, rows_a_leaf: int
) -> NDArray[np.float64]:
    """Ascending thresholds, midway between two values, of a tree grown best split first; none if nothing is gained.

    A cut of n rows with target sums S into left and right gains |S_l|²/n_l + |S_r|²/n_r - |S|²/n: the fall of the
    squared error for a number, of the Gini impurity for a class (S then counts the rows of each class).

    Source: Breiman et al. 1984, "Classification and regression trees", sections 2.4 and 8.4.
    """
    distinct, place = np.unique(values, return_inverse=True)
    classes = int(target.max()) + 1 if is_class else 1
    if len(distinct) < 2 or len(distinct) * classes > MOST_CELLS:
        return np.zeros(0)
    if is_class:
        sums = np.bincount(place * classes + target.astype(np.int64), minlength=len(distinct) * classes)
        sums = sums.reshape(len(distinct), classes)
    else:
        centered = target.astype(np.float64) - target.astype(np.float64).mean()
        sums = np.bincount(place, centered, minlength=len(distinct))[:, None]
    below = np.concatenate([np.zeros((1, classes)), np.cumsum(sums, axis=0, dtype=np.float64)])
    rows = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(distinct)))])

    def best(start: int, stop: int) -> tuple[float, int, int, int]:
        """(less the gain, cut, start, stop) of the best cut of the distinct values start to stop."""
        cuts = np.arange(start + 1, stop)
        left, right = rows[cuts] - rows[start], rows[stop] - rows[cuts]
        allowed = (left >= rows_a_leaf) & (right >= rows_a_leaf)
        cuts, left, right = cuts[allowed], left[allowed], right[allowed]
        if not len(cuts):
            return 0.0, start, start, stop
        whole = below[stop] - below[start]
        gains = ((below[cuts] - below[start]) ** 2).sum(1) / left + ((below[stop] - below[cuts]) ** 2).sum(1) / right
        gains -= (whole**2).sum() / (rows[stop] - rows[start])
        place_of_best = int(gains.argmax())
        return -float(gains[place_of_best]), int(cuts[place_of_best]), start, stop

    found: list[int] = []
    open_nodes = [best(0, len(distinct))]
    while open_nodes and len(found) + 1 < leaves:
        less_gain, cut, start, stop = heapq.heappop(open_nodes)
        if less_gain > -1e-9:
            break
        found.append(cut)
        heapq.heappush(open_nodes, best(start, cut))
        heapq.heappush(open_nodes, best(cut, stop))
    cuts = np.sort(np.array(found, dtype=np.int64))
    return (distinct[cuts - 1].astype(np.float64) + distinct[cuts].astype(np.float64)) / 2
