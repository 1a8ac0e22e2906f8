"""Answers that are pieces of a text: exact match and overlap, as SQuAD counts them, and the threshold of no answer.

Source: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1; with no answer: Rajpurkar et al. 2018, arXiv:1806.03822.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ARTICLES = re.compile(r"\b(a|an|the)\b")
MARKS = str.maketrans("", "", string.punctuation)


def words_of(text: str) -> list[str]:
    """The words that are compared: in lower case, without punctuation and articles."""
    return ARTICLES.sub(" ", text.lower().translate(MARKS)).split()


def span_scores(answer: str | None, truths: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1 of words) with the truth that is nearest; without an answer, and rightly so, both are one."""
    said = words_of(answer or "")
    best = exact = 0.0
    for truth in truths or ("",):
        there = words_of(truth)
        if not said or not there:
            same = float(said == there)
            exact, best = max(exact, same), max(best, same)
            continue
        common = sum((Counter(said) & Counter(there)).values())
        exact, best = max(exact, float(said == there)), max(best, 2 * common / (len(said) + len(there)))
    return exact, best


def overlap(truth: Array, answer: Array) -> Array:
    """F1 of the characters of two spans in each row, (row, 2) each; two that are empty are equal."""
    common = np.minimum(truth[:, 1], answer[:, 1]) - np.maximum(truth[:, 0], answer[:, 0])
    total = (truth[:, 1] - truth[:, 0]) + (answer[:, 1] - answer[:, 0])
    found: Array = np.where(total == 0, 1.0, 2 * np.clip(common, 0, None) / np.maximum(total, 1))
    return found


def choose_span_threshold(truth: Array, spans: Array, margins: Array) -> float:
    """The margin above which to answer, so that the overlap with the truth is largest; 0 where nothing is better.

    Answering in the order of falling margins, each row gains what its span overlaps, and loses it if there was nothing
    to answer.
    """
    known = (truth >= 0).all(axis=1)
    truth, spans, margins = truth[known], spans[known], np.asarray(margins, dtype=np.float64)[known]
    gain = overlap(truth, spans) - (truth[:, 1] == 0)
    order = np.argsort(-margins, kind="stable")
    sums, ordered = np.concatenate([np.zeros(1), np.cumsum(gain[order])]), margins[order]
    if not len(ordered):
        return 0.0
    at_zero = int((ordered > 0).sum())
    can_part = np.concatenate([[True], ordered[:-1] > ordered[1:], [True]])  # rows of one margin answer alike
    count = int(np.where(can_part, sums, -np.inf).argmax())
    if sums[count] <= sums[at_zero]:
        return 0.0
    if count == 0:
        return float(ordered[0])
    return float(ordered[count - 1] + ordered[count]) / 2 if count < len(ordered) else float(ordered[-1] - 1)
