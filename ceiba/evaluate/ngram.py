"""What a language model must beat: counts of tokens, and of the runs in which they stand."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.clean.hashing import mix

SMALL_VOCAB = 512
"""Up to so many tokens, as of characters and bytes, longer runs are counted."""
LONG, SHORT = 6, 3
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Counts:
    """Whole numbers by 64-bit keys in rising order; 0 for any other key."""

    keys: NDArray[np.uint64]
    values: NDArray[np.int64]

    def __getitem__(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, self.values[places], 0)


@dataclass(frozen=True)
class Ngrams:
    """P(w | h) = (c(h w) + N(h) P(w | h′)) / (c(h) + N(h)): c counts runs, N(h) the different tokens seen after h, and
    h′ is h without its first token; behind the shortest run, which is w alone, stands an even share.

    Source: Witten & Bell 1991, "The zero-frequency problem", method C; interpolated as in Chen & Goodman 1998, "An
    empirical study of smoothing techniques for language modeling", equation 16.
    """

    runs: tuple[Counts, ...]
    """Place n: how often each run of n + 1 tokens was seen."""
    histories: tuple[Counts, ...]
    """Place n: how often each run of n tokens was followed by another token."""
    followers: tuple[Counts, ...]
    """Place n: by how many different ones."""
    vocab: int

    def surprises(self, tokens: NDArray[Any], most: int | None = None) -> NDArray[np.float64]:
        """-log P of each token but the first, by runs of at most `most` tokens."""
        probability = np.full(len(tokens), 1.0 / max(self.vocab - 1, 1))
        for length, (history, run) in enumerate(_keys(tokens, most or len(self.runs))):
            seen, total = self.runs[length][run], self.histories[length][history]
            kinds = self.followers[length][history]
            below = probability[length:]
            share = (seen + kinds * below) / np.maximum(total + kinds, 1)
            probability[length:] = np.where(total > 0, share, below)
        nats: NDArray[np.float64] = -np.log(probability[1:])
        return nats


def _keys(tokens: NDArray[Any], most: int) -> Iterable[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """For each length n from 0 on, at each place that has n tokens before it: the keys of those n, and of n + 1."""
    words = tokens.astype(np.uint64) + np.uint64(1)
    history = np.zeros(len(words), np.uint64)
    for length in range(min(most, len(words))):
        run = mix(history * MULTIPLIER + words[length:])
        yield history, run
        history = run[:-1]


def count_ngrams(tokens: NDArray[Any], vocab: int) -> Ngrams:
    """Count the runs of a stream of tokens: of up to six tokens where tokens are few, as characters are, else three."""
    runs, histories, followers = [], [], []
    for history, run in _keys(tokens, LONG if vocab <= SMALL_VOCAB else SHORT):
        keys, first, counts = np.unique(run, return_index=True, return_counts=True)
        runs.append(Counts(keys, counts))
        histories.append(Counts(*np.unique(history, return_counts=True)))
        followers.append(Counts(*np.unique(history[first], return_counts=True)))
    return Ngrams(tuple(runs), tuple(histories), tuple(followers), vocab)
