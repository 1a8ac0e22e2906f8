"""Calibration: whether a stated probability comes true as often as it says."""

from typing import Any, Literal

import numpy as np

from ceiba.metrics.resample import Array, wilson

BINS = 15


def bin_edges(confidence: Array, binning: Literal["equal_width", "equal_mass"], bins: int) -> Array:
    """Ends of the bins over [0, 1]; equal mass merges bins that ties make empty."""
    even = np.linspace(0, 1, bins + 1)
    if binning == "equal_width" or len(confidence) == 0:
        return even
    inner = np.unique(np.quantile(confidence, even[1:-1]))
    return np.concatenate([[0.0], inner[(inner > 0) & (inner < 1)], [1.0]])


def bin_rows(confidence: Array, edges: Array) -> Array:
    """The bin of each row; a bin holds its lower end, the last one both."""
    return np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, len(edges) - 2)


def gap_columns(confidence: Array, correct: Array) -> Array:
    """Confidence minus outcome of each row in the column of its equal-width bin: (row, bin).

    The calibration error is the sum over the bins of the absolute weighted column sum, over the sum of weights.
    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    columns = np.zeros((len(confidence), BINS), dtype=np.float32)
    bins = bin_rows(confidence, bin_edges(confidence, "equal_width", BINS))
    columns[np.arange(len(confidence)), bins] = confidence - correct
    return columns


def calibration(
    confidence: Array,
    correct: Array,
    binning: Literal["equal_width", "equal_mass"] = "equal_width",
    bins: int = BINS,
    weights: Array | None = None,
) -> dict[str, Any]:
    """The calibration error and the reliability bins behind it; empty bins are left out.

    For a yes-no answer `confidence` is the probability of yes and `correct` the truth; for classes they are the
    probability of the class answered and whether it was right.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    outcome = np.asarray(correct, dtype=np.float64)
    weight = np.ones(len(confidence)) if weights is None else np.asarray(weights, dtype=np.float64)
    edges = bin_edges(confidence, binning, bins)
    place = bin_rows(confidence, edges)
    mass, stated, seen = (
        np.bincount(place, value, minlength=len(edges) - 1) for value in (weight, weight * confidence, weight * outcome)
    )
    rows = np.bincount(place, minlength=len(edges) - 1)
    table = []
    for index in np.flatnonzero(mass > 0):
        share = float(np.clip(seen[index] / mass[index], 0, 1))
        low, high = wilson(share, float(rows[index]))
        table.append({
            "from": float(edges[index]), "to": float(edges[index + 1]), "rows": int(rows[index]),
            "confidence": float(stated[index] / mass[index]), "share": share, "share_low": low, "share_high": high,
        })  # fmt: skip
    total = float(mass.sum())
    error = float(np.abs(stated - seen).sum() / total) if total > 0 else None
    return {"ece": error, "binning": binning, "num_bins": bins, "bins": table}
