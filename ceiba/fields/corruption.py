"""Leaving out spans of tokens: what is left of a row, and what restores it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ceiba.base.keys import uniform
from ceiba.fields.field import Array, Ragged

NEVER = 2.0
"""Above every number that is drawn."""
FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without pattern: tokens times its powers, added up, tell rows of tokens apart."""


@dataclass(frozen=True)
class Corruption:
    """Spans are left out, in whose places sentinels stand; what restores a row is each sentinel before the tokens that
    it stands for, and one more sentinel that ends them.

    Of n tokens, round(rate · n) are left out in round(that / span) spans: all ways to do so in which two spans do not
    touch are equally likely. A row of fewer than two tokens stays as it is, and has nothing to restore. Ids are those
    of tokens, 0 after a row's end.

    Source: Raffel et al. 2020, arXiv:1910.10683, section 3.1.4. Its code lets every row begin with a token that is kept
    and end with one that is not; here no place is preferred.
    """

    rate: float
    """Share of the tokens that is left out."""
    span: float
    """Mean length of a span."""
    first: int
    """The id of the first sentinel; the others follow it."""

    def counts(self, lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens left out, and spans, of rows of so many tokens."""
        lost = np.clip(np.floor(lengths * self.rate + 0.5).astype(np.int64), 1, lengths - 1)
        spans = np.floor(lost / self.span + 0.5).astype(np.int64)
        spans = np.minimum(np.maximum(spans, 1), np.minimum(lost, lengths - lost + 1))
        there = lengths > 1
        return lost * there, spans * there

    def sentinels(self, longest: int) -> int:
        """Sentinels for rows of at most so many tokens."""
        return int(self.counts(np.arange(longest + 1))[1].max(initial=0)) + 1

    def most(self, longest: int) -> int:
        """Tokens that restore a row of at most so many tokens, at most."""
        lost, spans = self.counts(np.arange(longest + 1))
        return int((lost + spans).max(initial=0)) + 1

    def draws(self, ids: Array) -> int:
        """Random numbers that a row needs; those of a token do not depend on how wide the rows are."""
        return 2 * int(ids.shape[1])

    def fixed(self, ids: Array) -> NDArray[np.float32]:
        """Random numbers that are the same wherever a row is met: its own tokens are their address."""
        powers = np.cumprod(np.full(ids.shape[1], FACTOR, dtype=np.uint64))
        address = (ids.astype(np.uint64) * powers).sum(1).view(np.int64)
        return uniform(address, self.draws(ids), "corruption")

    def __call__(self, ids: Array, draws: NDArray[np.float32]) -> tuple[Ragged, Ragged]:
        """(row, token) and numbers in [0, 1), (row, `draws`) → what is left of each row, and what restores it."""
        width, lengths = ids.shape[1], (ids > 0).sum(1)
        lost, spans = self.counts(lengths)
        gaps = _smallest(draws[:, ::2], np.where(spans > 0, lengths - lost + 1, 0), spans)
        cuts = _smallest(draws[:, 1::2], np.maximum(lost - 1, 0), np.maximum(spans - 1, 0))
        begins = np.roll(cuts, 1, axis=1)  # a lost token behind a cut begins a span, as does the first
        begins[:, 0] = lost > 0
        # Of the m-th lost token, in the s-th span: m lost ones and all kept ones up to the span's gap stand before it.
        rows, nth = np.nonzero(np.arange(width) < lost[:, None])
        span = begins.cumsum(1)[rows, nth] - 1
        is_first = begins[rows, nth]
        before = np.cumsum(spans) - spans
        places = nth + np.nonzero(gaps)[1][before[rows] + span]

        left, is_left = ids.copy(), ids > 0
        is_left[rows, places] = is_first
        left[rows[is_first], places[is_first]] = self.first + span[is_first]
        told = np.zeros((len(ids), int((lost + spans).max(initial=0)) + 1), dtype=ids.dtype)
        told[rows, nth + span + 1] = ids[rows, places]
        told[rows[is_first], (nth + span)[is_first]] = self.first + span[is_first]
        some = np.flatnonzero(spans)
        told[some, (lost + spans)[some]] = self.first + spans[some]
        return _ragged(left, is_left), _ragged(told, told > 0)


def _smallest(draws: NDArray[np.float32], among: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of each row's first `among` numbers are its `count` smallest."""
    places = np.arange(draws.shape[1])
    order = np.argsort(np.where(places < among[:, None], draws, np.float32(NEVER)), axis=1, kind="stable")
    found = np.zeros(draws.shape, dtype=np.bool_)
    np.put_along_axis(found, order, places < count[:, None], axis=1)
    return found


def _ragged(values: Array, there: NDArray[np.bool_]) -> Ragged:
    return Ragged(values[there], np.concatenate([np.zeros(1, np.int64), there.sum(1, dtype=np.int64).cumsum()]))
