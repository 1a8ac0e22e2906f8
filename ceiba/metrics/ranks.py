"""Metrics of an order: area under the ROC curve and average precision under any row weights."""

from dataclasses import dataclass

import numpy as np

from ceiba.metrics.resample import Array, Cells, group, ratio

MOST_BINS = 1024


@dataclass(frozen=True)
class Ranks:
    """Rows in bins of equal or neighboring scores, worst first."""

    cells: Cells

    def counts(self, weights: Array) -> tuple[Array, Array]:
        """Weight of the positive and of the negative rows in each bin of scores: (resample, bin) twice."""
        sums = self.cells.sums(weights)
        return sums[:, 1::2], sums[:, ::2]


def rank(truth: Array, scores: Array, exact: bool) -> Ranks:
    """Group rows by score: exactly by ties, or into a bounded number of bins of equal mass, enough for an interval."""
    distinct, bins = np.unique(scores, return_inverse=True)
    if not exact and len(distinct) > MOST_BINS:
        edges = np.unique(np.quantile(scores, np.linspace(0, 1, MOST_BINS)))
        bins = np.searchsorted(edges, scores, side="left")
    num_bins = int(bins.max()) + 1 if len(bins) else 0
    return Ranks(group(bins * 2 + (truth > 0), 2 * num_bins))


def roc_auc(positives: Array, negatives: Array) -> Array:
    """Share of (positive, negative) pairs in the right order, ties counting half; NaN without both classes.

    Source: Fawcett 2006, "An introduction to ROC analysis", section 7.
    """
    below = np.cumsum(negatives, axis=1)
    right = (positives * (below - negatives / 2)).sum(axis=1)
    return ratio(right, positives.sum(axis=1) * below[:, -1])


def average_precision(positives: Array, negatives: Array) -> Array:
    """Precision at each score, weighted by the recall gained there; NaN without positives.

    Source: Zhu 2004, "Recall, precision and average precision", definition 2.
    """
    found = np.cumsum(positives[:, ::-1], axis=1)
    called = found + np.cumsum(negatives[:, ::-1], axis=1)
    precision = ratio(found, called, empty=0.0)
    return ratio((precision * positives[:, ::-1]).sum(axis=1), found[:, -1])
