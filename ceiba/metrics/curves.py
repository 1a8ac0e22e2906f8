"""Points of the ROC and precision-recall curves, thinned to what a plot can show."""

from typing import TypedDict

import numpy as np

from ceiba.metrics.ranks import rank
from ceiba.metrics.resample import Array

MOST_POINTS = 200


class Curve(TypedDict):
    """A curve's points."""

    x: list[float]
    y: list[float]


def _thin(x: Array, y: Array, most: int) -> Curve:
    """Keep points evenly spaced along the curve; both ends stay."""
    if len(x) > most:
        length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)).clip(0, len(x) - 1))
        x, y = x[keep], y[keep]
    return {"x": [round(float(value), 6) for value in x], "y": [round(float(value), 6) for value in y]}


def _counts(truth: Array, scores: Array) -> tuple[Array, Array] | None:
    """Positives and negatives at or above each distinct score, highest first; None without both classes."""
    known = truth >= 0
    if not (truth[known] > 0).any() or not (truth[known] == 0).any():
        return None
    positives, negatives = rank(truth[known], scores[known], exact=True).counts(np.ones((1, int(known.sum()))))
    return np.cumsum(positives[0, ::-1]), np.cumsum(negatives[0, ::-1])


def roc_curve(truth: Array, scores: Array, most: int = MOST_POINTS) -> Curve | None:
    """False positive rate (x) and true positive rate (y); None where one class is absent."""
    counts = _counts(truth, scores)
    if counts is None:
        return None
    found, wrong = (np.concatenate([[0.0], count / count[-1]]) for count in counts)
    return _thin(wrong, found, most)


def pr_curve(truth: Array, scores: Array, most: int = MOST_POINTS) -> Curve | None:
    """Recall (x) and precision (y), from the highest score on; None where one class is absent."""
    counts = _counts(truth, scores)
    if counts is None:
        return None
    found, wrong = counts
    recall, precision = found / found[-1], found / (found + wrong)
    return _thin(np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision]), most)
