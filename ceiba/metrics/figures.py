"""The front door: truth and scores of one answer → its figures with intervals."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import CeibaError, nearest
from ceiba.metrics.measures import (
    binary_measure,
    class_values,
    classes_measure,
    half_right,
    labels_measure,
    number_measure,
    preference_measure,
    span_measure,
    surprise,
    tags_measure,
    text_measure,
)
from ceiba.metrics.resample import MOST_ROWS, Array, Figure, Measure, Rows, bootstrap
from ceiba.metrics.sequences import BLEU_COUNTS, CHRF_COUNTS, chrf, sequence_measure

RESAMPLES = 200
KINDS = ("binary", "classes", "labels", "number", "tags", "text", "span", "sequence", "preference")
"""Answer kinds that have figures."""
AS_THEY_ARE = ("number", "labels", "tags", "text", "span", "sequence", "preference")
"""Kinds whose truths are no classes."""


def known_rows(truth: Array) -> NDArray[np.bool_]:
    """Rows whose truth is there: not NaN for numbers and labels, not below zero for classes."""
    if truth.dtype.kind == "f":
        present = np.isfinite(truth)
        return np.asarray(present if present.ndim == 1 else present.all(axis=1))
    return np.asarray(truth >= 0)


def predicted(kind: str, scores: Array, threshold: float = 0.5) -> Array:
    """Scores → the answer given: a class, zeros and ones for labels, or the number itself."""
    if kind == "binary":
        return (scores >= threshold).astype(np.int64)
    if kind == "classes":
        return scores.argmax(axis=1) if scores.shape[1] else np.zeros(len(scores), dtype=np.int64)
    return (scores >= threshold).astype(np.int64) if kind == "labels" else scores


def _checked(kind: str, truth: Array, scores: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The rows that count.

    Raises: CeibaError for an unknown kind, differing lengths or scores that are not finite.
    """
    if kind not in KINDS:
        raise CeibaError("An answer kind must have figures", f"'{kind}'", nearest(kind, KINDS))
    truth, scores = np.asarray(truth), np.asarray(scores)
    if len(truth) != len(scores):
        raise CeibaError(
            "Truth and scores must have as many rows", f"{len(truth)} and {len(scores)}", "Pass the same rows"
        )
    known = known_rows(truth)
    if not known.all():
        truth, scores = truth[known], scores[known]
    if not np.isfinite(scores).all():
        broken = int((~np.isfinite(scores.reshape(len(scores), -1))).any(axis=1).sum())
        raise CeibaError(
            "Scores must be finite numbers", f"{broken} of {len(scores)} rows that are not", "Lower the learning rate"
        )
    return truth if kind in AS_THEY_ARE else truth.astype(np.int64, copy=False), scores, known


def figures(
    kind: str,
    truth: Array,
    scores: Array,
    threshold: float = 0.5,
    weights: Array | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    labels: Sequence[str] | None = None,
) -> dict[str, Figure]:
    """Every metric of an answer kind with its 95 % bootstrap interval.

    Rows without a truth are left out; a metric that the rows leave undefined (one class present, a zero truth) is left
    out, never NaN. `labels` name the classes: numbers give them a scale for kappa, words none.

    Raises: CeibaError for an unknown kind, differing lengths or scores that are not finite.
    """
    truth, scores, known = _checked(kind, truth, scores)
    kept = None if weights is None else np.asarray(weights)[known]
    values = class_values(labels, scores.shape[1]) if kind == "classes" else None
    builders: dict[str, Callable[[Array, Array, bool], Measure]] = {
        "binary": lambda truth, scores, exact: binary_measure(truth, scores, threshold, exact),
        "classes": lambda truth, scores, exact: classes_measure(truth, scores, values),
        "labels": lambda truth, scores, exact: labels_measure(truth, scores, threshold, exact),
        "number": lambda truth, scores, exact: number_measure(truth, scores),
        "tags": lambda truth, scores, exact: tags_measure(truth, scores),
        "text": lambda truth, scores, exact: text_measure(truth, scores),
        "span": lambda truth, scores, exact: span_measure(truth, scores),
        "sequence": lambda truth, scores, exact: sequence_measure(truth, scores),
        "preference": lambda truth, scores, exact: preference_measure(truth, scores),
    }
    # Every label is ranked on its own, so the time that rows may take is shared among them.
    most_rows = MOST_ROWS // max(truth.shape[1], 1) if kind == "labels" else MOST_ROWS

    def build(rows: Rows, exact: bool) -> Measure:
        return builders[kind](truth[rows], scores[rows], exact)

    return bootstrap(build, len(truth), kept, seed, resamples, most_rows)


def per_row(kind: str, truth: Array, scores: Array, metric: str, threshold: float = 0.5) -> Array:
    """One metric row by row, to pair two models: accuracy, log_loss, brier, subset_accuracy, loss, token_f1, chrf,
    squared or absolute error.

    Raises: CeibaError for a metric that is no mean over rows.
    """
    truth, scores, _ = _checked(kind, truth, scores)
    if kind == "number":
        table: dict[str, Callable[[], Array]] = {
            "squared_error": lambda: (scores - truth) ** 2,
            "mae": lambda: np.abs(scores - truth),
        }
    elif kind == "text":
        table = {"loss": lambda: scores}
    elif kind == "preference":
        table = {"accuracy": lambda: half_right(scores), "margin": lambda: scores}
    elif kind == "span":
        table = {"token_f1": lambda: scores[:, 1], "exact_match": lambda: scores[:, 0]}
    elif kind == "sequence":
        table = {
            "chrf": lambda: chrf(scores[:, BLEU_COUNTS : BLEU_COUNTS + CHRF_COUNTS]), "rouge_l": lambda: scores[:, -1]
        }  # fmt: skip
    elif kind == "tags":
        table = {"accuracy": lambda: scores[:, 2] / truth[:, 1]}
    elif kind == "labels":
        table = {"subset_accuracy": lambda: ((scores >= threshold) == (truth > 0)).all(axis=1)}
    else:
        stated = np.where(truth > 0, scores, 1 - scores) if kind == "binary" else scores[np.arange(len(truth)), truth]
        table = {
            "accuracy": lambda: predicted(kind, scores, threshold) == truth,
            "log_loss": lambda: surprise(stated),
        }
        if kind == "binary":
            table["brier"] = lambda: (1 - stated) ** 2
    if metric not in table:
        raise CeibaError(f"A metric of {kind} must be a mean over rows", f"'{metric}'", nearest(metric, table))
    return np.asarray(table[metric](), dtype=np.float64)


def paired_difference(
    first: Array, second: Array, weights: Array | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> Figure | None:
    """Mean of first minus second over the same rows, with the interval of the pairs; None without rows."""
    difference: Array = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)

    def build(rows: Rows, exact: bool) -> Measure:
        column = difference[rows]
        return lambda drawn: {"difference": (drawn @ column.astype(drawn.dtype)) / np.maximum(drawn.sum(axis=1), 1e-12)}

    return bootstrap(build, len(difference), weights, seed, resamples).get("difference")


def paired_f1(truth: Array, first: Array, second: Array, seed: int = 0, resamples: int = RESAMPLES) -> Figure | None:
    """F1 over whole entities of one tagger minus that of another, by the counts of `tag_counts`, with an interval that
    draws the same rows for both; None where no row has a word."""
    known = known_rows(truth)
    truth, first, second = truth[known], first[known], second[known]

    def build(rows: Rows, exact: bool) -> Measure:
        one, other = (tags_measure(truth[rows], counts[rows]) for counts in (first, second))
        return lambda drawn: {"difference": one(drawn)["f1"] - other(drawn)["f1"]}

    return bootstrap(build, len(truth), None, seed, resamples).get("difference")
