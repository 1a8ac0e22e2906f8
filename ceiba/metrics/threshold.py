"""Choosing the probability from which a yes-no answer is yes."""

from typing import Literal

import numpy as np

from ceiba.metrics.ranks import rank
from ceiba.metrics.resample import Array, ratio

DEFAULT = 0.5


def choose_threshold(
    truth: Array, scores: Array, metric: Literal["accuracy", "f1", "balanced_accuracy"] = "accuracy"
) -> float:
    """The threshold that is best on these rows, nearest to one half among equals; one half where a class is absent.

    A cut lies midway between two neighboring scores, so rounding does not move a row across it.
    """
    known = truth >= 0
    truth, scores = truth[known], scores[known].astype(np.float64)
    if not (truth > 0).any() or not (truth == 0).any():
        return DEFAULT
    positives, negatives = (count[0] for count in rank(truth, scores, exact=True).counts(np.ones((1, len(truth)))))
    distinct = np.unique(scores)
    cuts = np.concatenate([[0.0], (distinct[1:] + distinct[:-1]) / 2, [1.0]])
    missed, rejected = (np.concatenate([[0.0], np.cumsum(count)]) for count in (positives, negatives))
    found, wrong = missed[-1] - missed, rejected[-1] - rejected
    quality = {
        "accuracy": found + rejected,
        "balanced_accuracy": found / missed[-1] + rejected / rejected[-1],
        "f1": ratio(2 * found, found + wrong + missed[-1]),
    }[metric]
    # The cut of one half itself stands for the whole gap it lies in.
    cuts[np.searchsorted(distinct, DEFAULT, side="left")] = DEFAULT
    best = np.flatnonzero(np.isclose(quality, quality.max(), rtol=1e-12, atol=0))
    return float(cuts[best[np.argmin(np.abs(cuts[best] - DEFAULT))]])
