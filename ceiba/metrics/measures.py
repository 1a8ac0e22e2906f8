"""The figures of each answer kind as functions of row weights."""

from collections.abc import Callable, Sequence
from functools import reduce
from math import nan

import numpy as np
from numpy.typing import NDArray

from ceiba.metrics.calibration import gap_columns
from ceiba.metrics.ranks import average_precision, rank, roc_auc
from ceiba.metrics.resample import Array, Measure, group, ratio

MANY_CLASSES = 5
LABEL_THRESHOLD = 0.5
MOST_LOSS = 700.0
"""Nats a token beyond which e to the loss is no number."""
BLOCK_ROWS = 1 << 16


def _sums(weights: Array, *columns: Array) -> Array:
    """Weighted sums of columns, (resample, row) × (row, column), in the precision of the weights.

    They are laid beside each other a block of rows at a time, so that a yes or no takes one byte a row until then.
    """
    return _blockwise(weights, lambda rows: np.column_stack([column[rows] for column in columns]))


def _gaps(weights: Array, confidence: Array, correct: Array) -> Array:
    """The calibration error times the sum of weights."""
    sums = _blockwise(weights, lambda rows: gap_columns(confidence[rows], correct[rows]))
    return np.asarray(np.abs(sums).sum(axis=1))


def _blockwise(weights: Array, columns: Callable[[slice], Array]) -> Array:
    """Weights times the columns that are made of a block of rows."""
    blocks = (slice(start, start + BLOCK_ROWS) for start in range(0, weights.shape[1], BLOCK_ROWS))
    parts = (weights[:, rows] @ columns(rows).astype(weights.dtype, copy=False) for rows in blocks)
    return np.asarray(reduce(np.add, parts), dtype=np.float64)


def _each(rows: Array) -> NDArray[np.bool_]:
    """The column whose weighted sum is the weight of all rows."""
    return np.ones(len(rows), dtype=np.bool_)


def surprise(probability: Array) -> Array:
    """Minus the logarithm of a probability, finite even where it is zero in its own precision."""
    least = np.finfo(probability.dtype if probability.dtype.kind == "f" else np.float64).eps
    return -np.log(np.clip(probability.astype(np.float64), least, 1.0))


def _nanmean(values: Array) -> Array:
    """Mean over the last axis of what is defined there."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def _where_true(values: Array, support: Array) -> Array:
    """The figures of the classes that are among the truths, so that every model is averaged over the same ones."""
    return np.where(support > 0, values, nan)


def binary_measure(truth: Array, scores: Array, threshold: float, exact: bool) -> Measure:
    """Figures of a yes-no answer; `scores` are probabilities of yes."""
    yes, said = truth > 0, scores >= threshold
    probability = scores.astype(np.float64)
    loss = surprise(np.where(yes, scores, 1 - scores))
    columns = [_each(truth), yes, said, yes & said, loss, (probability - yes) ** 2]
    ranks = rank(truth, scores, exact)

    def measure(weights: Array) -> dict[str, Array]:
        sums = _sums(weights, *columns)
        total, positives, called, found, losses, squares = sums.T
        negatives, rejected = total - positives, total - positives - called + found
        above, below = ranks.counts(weights)
        return {
            "accuracy": ratio(found + rejected, total),
            "balanced_accuracy": _nanmean(np.stack([ratio(found, positives), ratio(rejected, negatives)], axis=1)),
            "roc_auc": roc_auc(above, below),
            "average_precision": average_precision(above, below),
            "f1": ratio(2 * found, positives + called),
            "precision": ratio(found, called, empty=0.0) if yes.any() else ratio(found, called),
            "recall": ratio(found, positives),
            "log_loss": ratio(losses, total),
            "brier": ratio(squares, total),
            "ece": ratio(_gaps(weights, probability, yes), total),
        }

    return measure


def _ordered(truth: Array, answer: Array, values: Array) -> Array:
    """Columns from which quadratic kappa follows."""
    true, said = values[truth], values[answer]
    return np.column_stack([true, said, true**2, said**2, (true - said) ** 2])


def _kappa(sums: Array, total: Array) -> Array:
    """Source: Cohen 1968, "Weighted kappa", equation 3, with weights of the squared distance, written in moments."""
    true, said, true_squares, said_squares, distance = (ratio(column, total) for column in sums.T)
    by_chance = true_squares + said_squares - 2 * true * said
    return 1 - ratio(distance, by_chance)


def classes_measure(truth: Array, scores: Array, values: Array | None) -> Measure:
    """Figures of one class out of several; `values` are the places of the classes on a scale, if they have any."""
    answer, num_classes = scores.argmax(axis=1), scores.shape[1]
    right = answer == truth
    stated = scores[np.arange(len(truth)), truth]
    top = (scores > stated[:, None]).sum(axis=1) < MANY_CLASSES
    chosen = scores.max(axis=1).astype(np.float64)
    columns = [_each(truth), right, surprise(stated), top]
    if values is not None:
        columns.append(_ordered(truth, answer, values - values.mean()))
    by_truth, by_answer = group(truth * 2 + right, 2 * num_classes), group(answer, num_classes)

    def measure(weights: Array) -> dict[str, Array]:
        sums = _sums(weights, *columns)
        total = sums[:, 0]
        truths = by_truth.sums(weights)
        found, support, called = truths[:, 1::2], truths[:, ::2] + truths[:, 1::2], by_answer.sums(weights)
        figures = {
            "accuracy": ratio(sums[:, 1], total),
            "balanced_accuracy": _nanmean(ratio(found, support)),
            "f1": _nanmean(_where_true(ratio(2 * found, support + called), support)),
            "log_loss": ratio(sums[:, 2], total),
            "ece": ratio(_gaps(weights, chosen, right), total),
        }
        if num_classes > MANY_CLASSES:
            figures["top_5_accuracy"] = ratio(sums[:, 3], total)
        if values is not None:
            figures["kappa"] = _kappa(sums[:, 4:9], total)
        return figures

    return measure


def labels_measure(truth: Array, scores: Array, threshold: float, exact: bool) -> Measure:
    """Figures of any number of labels a row; `scores` are probabilities of each."""
    yes, said = truth > 0, scores >= threshold
    num_labels = truth.shape[1]
    columns = [_each(truth), (yes == said).all(axis=1), yes, said, yes & said]
    ranks = [rank(yes[:, label], scores[:, label], exact) for label in range(num_labels)]

    def measure(weights: Array) -> dict[str, Array]:
        sums = _sums(weights, *columns)
        total = sums[:, 0]
        support, called, found = np.split(sums[:, 2:], 3, axis=1)
        precisions = [average_precision(*one.counts(weights)) for one in ranks]
        return {
            "f1_micro": ratio(2 * found.sum(axis=1), (support + called).sum(axis=1)),
            "f1_macro": _nanmean(_where_true(ratio(2 * found, support + called), support)),
            "subset_accuracy": ratio(sums[:, 1], total),
            "average_precision": _nanmean(np.stack(precisions, axis=1)) if precisions else np.full(len(weights), nan),
        }

    return measure


def _weighted_median(values: Array, order: NDArray[np.int64], weights: Array) -> Array:
    """The value with half of the weight on either side; midway between two where the halves part exactly."""
    cumulative = np.cumsum(weights[:, order], axis=1, dtype=np.float64)
    half = cumulative[:, -1:] / 2
    lower = (cumulative < half).sum(axis=1).clip(0, len(order) - 1)
    upper = (cumulative <= half).sum(axis=1).clip(0, len(order) - 1)
    ordered = values[order]
    return np.asarray((ordered[lower] + ordered[upper]) / 2)


def number_measure(truth: Array, scores: Array) -> Measure:
    """Figures of a number, in the user's units."""
    truth, scores = truth.astype(np.float64), scores.astype(np.float64)
    error, centered = np.abs(scores - truth), truth - truth.mean()
    has_zero = bool((truth == 0).any())
    relative = np.zeros(len(truth)) if has_zero else error / np.abs(truth)
    columns = [_each(truth), error**2, error, centered, centered**2, relative]
    order = np.argsort(error, kind="stable")
    varies = bool(np.ptp(truth) > 0)

    def measure(weights: Array) -> dict[str, Array]:
        sums = _sums(weights, *columns)
        total, squares, absolute, first, second, shares = sums.T
        figures = {
            "rmse": np.sqrt(ratio(squares, total)),
            "mae": ratio(absolute, total),
            "median_absolute_error": np.where(total > 0, _weighted_median(error, order, weights), nan),
        }
        if varies:
            figures["r2"] = 1 - ratio(squares, second - ratio(first**2, total))
        if not has_zero:
            figures["mape"] = ratio(shares, total)
        return figures

    return measure


def class_values(labels: Sequence[str] | None, num_classes: int) -> Array | None:
    """Where classes lie on a scale: the numbers they are called, their order if not told, None if they are words."""
    if labels is None:
        return np.arange(num_classes, dtype=np.float64)
    try:
        values = np.array([float(label) for label in labels])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def text_measure(truth: Array, scores: Array) -> Measure:
    """Figures of a language model; `truth` is (row, 2): tokens that were predicted, and bytes of UTF-8 they stand for
    (0: not known), `scores` each row's mean loss, in nats a token.

    Perplexity is e to the mean loss; bits a byte do not depend on how the text is cut into tokens.
    """
    columns = [truth[:, 0], truth[:, 0] * scores, truth[:, 1]]
    whole = bool((truth[:, 1] > 0).any())

    def measure(weights: Array) -> dict[str, Array]:
        tokens, nats, size = _sums(weights, *columns).T
        loss = ratio(nats, tokens)
        figures = {"perplexity": np.exp(np.minimum(loss, MOST_LOSS)), "loss": loss}
        return figures | ({"bits_per_byte": ratio(nats, size) / np.log(2)} if whole else {})

    return measure


def preference_measure(truth: Array, scores: Array) -> Measure:
    """Figures of two answers to each prompt; `scores` is log p(better) - log p(worse), where 0 counts as half right."""
    columns = [_each(scores), half_right(scores), scores]

    def measure(weights: Array) -> dict[str, Array]:
        total, right, margins = _sums(weights, *columns).T
        return {"accuracy": ratio(right, total), "margin": ratio(margins, total)}

    return measure


def half_right(scores: Array) -> Array:
    """1 for each score above 0, one half for 0."""
    return (np.sign(scores) + 1) / 2


def span_measure(truth: Array, scores: Array) -> Measure:
    """Figures of answers from texts; `truth` is (row, 2): has an answer, has none, `scores` (row, 3): exact match, F1,
    answered."""
    there, none = truth.T
    exact, f1, said = scores.T
    columns = [_each(truth), exact, f1, there, there * f1, none, none * (1 - said)]

    def measure(weights: Array) -> dict[str, Array]:
        total, matches, f1s, answerable, found, unanswerable, left = _sums(weights, *columns).T
        return {
            "exact_match": ratio(matches, total),
            "token_f1": ratio(f1s, total),
            "has_answer_f1": ratio(found, answerable),
            "no_answer_accuracy": ratio(left, unanswerable),
        }

    return measure


def tags_measure(truth: Array, scores: Array) -> Measure:
    """Figures of tagged rows from their counts; `truth` is (row, 2): entities and words, `scores` (row, 3): entities
    answered, of these right, and words right."""
    columns = [truth, scores]

    def measure(weights: Array) -> dict[str, Array]:
        there, words, said, right, words_right = _sums(weights, *columns).T
        return {
            "f1": ratio(2 * right, there + said),
            "precision": ratio(right, said, empty=0.0) if truth[:, 0].any() else ratio(right, said),
            "recall": ratio(right, there),
            "accuracy": ratio(words_right, words),
        }

    return measure
