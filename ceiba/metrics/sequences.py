"""Texts that were written beside the true ones: BLEU, chrF and ROUGE-L from counts of each row, which add up."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.metrics.resample import Array, Measure

BLEU_ORDER, CHRF_ORDER, CHRF_BETA = 4, 6, 2.0
BLEU_COUNTS, CHRF_COUNTS = 2 + 2 * BLEU_ORDER, 3 * CHRF_ORDER
"""A row's counts: (words written, true words, right n-grams, written n-grams), then (written, true, common) of each
order of characters, then the F1 of ROUGE-L."""


def chrf_counts(answer: str, truth: str) -> list[float]:
    """Of each order, character n-grams written, true, and common; blanks do not count, nor what is written where there
    is no true one, as sacrebleu has it.

    Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", section 2.
    """
    found: list[float] = []
    ours, theirs = "".join(answer.split()), "".join(truth.split())
    for order in range(1, CHRF_ORDER + 1):
        one, other = (Counter(text[at : at + order] for at in range(len(text) - order + 1)) for text in (ours, theirs))
        found += [one.total() if other else 0, other.total(), (one & other).total()]
    return found


def rouge_l(answer: Sequence[str], truth: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words. Source: Lin 2004, "ROUGE", section 3.1, with β = 1."""
    if not answer or not truth:
        return float(len(answer) == len(truth))
    row = [0] * (len(truth) + 1)
    for word in answer:
        before = 0
        for place, other in enumerate(truth, 1):
            before, row[place] = row[place], before + 1 if word == other else max(row[place], row[place - 1])
    return 2 * row[-1] / (len(answer) + len(truth))


def chrf(counts: Array) -> NDArray[np.float64]:
    """chrF2 of sums of counts, (..., 18), from 0 to 100: F with β = 2 of the mean precision and recall over orders."""
    ours, theirs, common = np.moveaxis(counts.reshape(*counts.shape[:-1], CHRF_ORDER, 3), -1, 0)
    there = (ours > 0) & (theirs > 0)
    orders = np.maximum(there.sum(-1), 1)
    precision, recall = (
        np.where(there, common / np.maximum(one, 1), 0).sum(-1) / orders for one in (ours, theirs)
    )  # fmt: skip
    square = CHRF_BETA**2
    total = square * precision + recall
    found: NDArray[np.float64] = 100 * (1 + square) * precision * recall / np.where(total > 0, total, 1)
    return found


def bleu(counts: Array) -> NDArray[np.float64]:
    """BLEU of sums of counts, (..., 10), from 0 to 100: the geometric mean of the four precisions, times
    exp(1 - true words / written words) where too little was written. The k-th precision of zero counts as half of
    the one before, 1 / (2^k n-grams).

    Sources: Papineni et al. 2002, section 2.3; the smoothing is that of sacrebleu, its method "exp".
    """
    said, there = counts[..., 0], counts[..., 1]
    right, total = counts[..., 2 : 2 + BLEU_ORDER], counts[..., 2 + BLEU_ORDER : BLEU_COUNTS]
    zeros = ((right == 0) & (total > 0)).cumsum(-1)
    share = np.where(right > 0, right, 0.5**zeros) / np.maximum(total, 1e-12)
    is_empty = (total[..., 0] == 0) | (right.sum(-1) == 0)
    logs = np.where(total > 0, np.log(np.maximum(share, 1e-12)), -np.inf)
    brevity = np.minimum(1 - there / np.maximum(said, 1e-12), 0)
    found: NDArray[np.float64] = np.where(is_empty, 0.0, 100 * np.exp(logs.mean(-1) + brevity))
    return found


def sequence_measure(truth: Array, scores: Array) -> Measure:
    """Figures of texts that were written; `truth` is (row,), 1 where a text is known, `scores` (row, counts)."""
    columns: Array = np.column_stack([np.ones(len(truth)), scores])

    def measure(weights: Array) -> dict[str, Array]:
        sums: Any = weights.astype(np.float64) @ columns
        rows, counts = sums[:, 0], sums[:, 1:]
        return {
            "bleu": bleu(counts[:, :BLEU_COUNTS]),
            "chrf": chrf(counts[:, BLEU_COUNTS : BLEU_COUNTS + CHRF_COUNTS]),
            "rouge_l": counts[:, -1] / np.maximum(rows, 1e-12),
        }

    return measure
