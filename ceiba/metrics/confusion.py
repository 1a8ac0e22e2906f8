"""Confusion matrix and the figures of each class."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ceiba.metrics.resample import Array, ratio


class ClassFigures(TypedDict):
    """How one class fared; a share without rows behind it is None."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


def confusion(truth: Array, answers: Array, num_classes: int) -> NDArray[np.int64]:
    """Rows counted by (truth, answer); rows without a truth (below zero) are left out."""
    known = truth >= 0
    codes = truth[known].astype(np.int64) * num_classes + answers[known].astype(np.int64)
    return np.bincount(codes, minlength=num_classes**2).reshape(num_classes, num_classes)


def per_class(matrix: NDArray[np.int64], labels: Sequence[str]) -> list[ClassFigures]:
    """Precision, recall, F1 and support of each class of a confusion matrix."""
    right = np.diag(matrix).astype(np.float64)
    support, called = matrix.sum(axis=1), matrix.sum(axis=0)
    shares = [ratio(right, called), ratio(right, support), ratio(2 * right, support + called)]
    columns = [[None if np.isnan(value) else float(value) for value in column] for column in shares]
    return [
        {"label": str(label), "precision": precision, "recall": recall, "f1": f1, "support": int(rows)}
        for label, precision, recall, f1, rows in zip(labels, *columns, support, strict=True)
    ]
