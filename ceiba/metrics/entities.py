"""Entities among tags: where each begins and ends, as the shared task of CoNLL counts them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
OUTSIDE = "O"


def entity_keys(tags: Array, labels: Sequence[str]) -> tuple[Array, Array]:
    """(row, key) of every entity of (row, word) tags, -1 being no word; equal keys are equal entities.

    An entity begins at B-X, and at an I-X that follows no tag of type X; it ends before the next B, O or other type.
    Tags that are not all O, B-X or I-X are entities of one word each.
    Source: Tjong Kim Sang & De Meulder 2003, "Introduction to the CoNLL-2003 shared task", conlleval.
    """
    is_bio = all(label == OUTSIDE or label[:2] in ("B-", "I-") for label in labels)
    types = {name: place for place, name in enumerate(dict.fromkeys(map(_type, labels)), 1)}
    kind = np.array([*(0 if is_bio and label == OUTSIDE else types[_type(label)] for label in labels), 0])[tags]
    begins = np.array([*(not is_bio or label[:2] == "B-" for label in labels), False])[tags]
    before = np.concatenate([np.zeros((len(tags), 1), dtype=kind.dtype), kind[:, :-1]], axis=1)
    starts = (kind > 0) & (begins | (before != kind))
    after = np.concatenate([starts[:, 1:] | (kind[:, 1:] == 0), np.ones((len(tags), 1), dtype=bool)], axis=1)
    ends = (kind > 0) & after
    rows, first = np.nonzero(starts)
    last = np.nonzero(ends)[1]
    width = tags.shape[1] + 1
    return rows, ((rows * width + first) * width + last) * (len(types) + 1) + kind[rows, first]


def _type(label: str) -> str:
    return label[2:] if label[:2] in ("B-", "I-") else label


def tag_counts(truth: Array, answer: Array, labels: Sequence[str]) -> tuple[Array, Array]:
    """Of each row: (entities there are, words with a known tag) and (entities answered, of these right, words right).

    NaN for a row without a word. Places without a known truth count for nothing.
    """
    known = truth >= 0
    answer = np.where(known, answer, -1)
    size = len(truth)
    (true_rows, true), (said_rows, said) = entity_keys(truth, labels), entity_keys(answer, labels)
    right = said_rows[np.isin(said, true)]
    words = known.sum(axis=1).astype(float)
    there = np.stack([np.bincount(true_rows, minlength=size), np.where(words > 0, words, np.nan)], 1)
    found = np.stack([
        np.bincount(said_rows, minlength=size), np.bincount(right, minlength=size),
        ((truth == answer) & known).sum(axis=1),
    ], 1)  # fmt: skip
    return there, found.astype(float)
