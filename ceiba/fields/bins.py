"""Bin edges of a number column, for encoders that treat a number piece by piece."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ceiba.base.spec import Spec
from ceiba.fields.field import Array, Target
from ceiba.fields.sample import Sample
from ceiba.fields.splits import tree_splits

MOST_CLASSES = 100
ROWS_A_LEAF = 64
SHARE_A_LEAF = 1 / 50


class Bins(Spec):
    """Pieces of a number's range. Source: Gorishniy et al. 2022, arXiv:2203.05556, section 3.2."""

    count: int = 48
    """Most pieces."""
    by: Literal["target", "quantile"] = "target"
    """`target`: where a decision tree of the target splits (if there is one). `quantile`: of distinct values."""

    def edges(self, values: NDArray[np.float32], target: Array | None, is_class: bool) -> tuple[float, ...]:
        """Ascending edges, the lowest and the highest value included; () for fewer than two distinct values."""
        low_and_high = np.unique(values)[[0, -1]] if len(values) else values
        if len(low_and_high) < 2 or low_and_high[0] == low_and_high[1]:
            return ()
        inner = quantile_splits(values, self.count)
        if self.by == "target" and target is not None and len(target) == len(values):
            inner = target_splits(values, target, is_class, self.count, inner)
        edges = np.unique(np.concatenate([low_and_high, inner.astype(np.float32)]))
        return tuple(float(edge) for edge in edges[(edges >= low_and_high[0]) & (edges <= low_and_high[1])])


def fit_edges(
    bins: Bins | None, values: NDArray[np.float32], known: NDArray[np.bool_], target: Target | None, seed: int
) -> tuple[float, ...]:
    """Edges for the known rows of a sample of a column; the target's rows are sampled alike (same seed)."""
    if bins is None:
        return ()
    if target is None or bins.by == "quantile":
        return bins.edges(values, None, False)
    sample = Sample(seed=seed)
    for block in target.values:
        sample.add(np.asarray(block))
    beside = sample.values()
    return bins.edges(values, beside[known] if len(beside) == len(known) else None, target.is_class)


def quantile_splits(values: NDArray[np.float32], count: int) -> Array:
    """Quantiles of the distinct values: a column that is mostly one value still gets its pieces."""
    distinct = np.unique(values)
    if len(distinct) <= count + 1:
        return distinct
    return np.quantile(distinct, np.linspace(0, 1, count + 1)[1:-1])


def target_splits(values: NDArray[np.float32], target: Array, is_class: bool, count: int, otherwise: Array) -> Array:
    """Thresholds of a decision tree that sees this column alone; `otherwise` where the target tells nothing.

    Source: Gorishniy et al. 2022, arXiv:2203.05556, section 3.2.2.
    """
    if target.ndim != 1:
        return otherwise
    known = target >= 0 if is_class else ~np.isnan(target)
    values, target = values[known], target[known]
    if len(values) < 2 or (is_class and target.max() >= MOST_CLASSES):
        return otherwise
    rows_a_leaf = max(1, min(ROWS_A_LEAF, int(len(values) * SHARE_A_LEAF)))
    splits = tree_splits(values, target, is_class, max(2, count), rows_a_leaf)
    return splits if len(splits) else otherwise
