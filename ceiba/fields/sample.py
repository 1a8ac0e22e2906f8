"""Figures of a stream that do not depend on how the stream is cut into chunks."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ceiba.base.keys import key
from ceiba.fields.field import Array

BLOCK_ROWS = 65_536
SAMPLE_ROWS = 200_000
WORD_BITS = 64


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words one by one: every bit of the result depends on every bit of the word.

    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", SplitMix64's mix13.
    """
    words = words ^ (words >> np.uint64(30))
    words = words * np.uint64(0xBF58476D1CE4E5B9)
    words = words ^ (words >> np.uint64(27))
    words = words * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class Moments:
    """Count, mean, deviation, lowest and highest of a stream of numbers, NaN left out.

    They are added up in blocks of one size, so that no bit depends on how the stream is cut.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low, self.high = math.inf, -math.inf
        self._waiting: list[NDArray[np.float64]] = []
        self._num_waiting = 0
        self._num_folded, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Count a chunk in."""
        values = values[~np.isnan(values)]
        if not len(values):
            return
        self.count += len(values)
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._waiting.append(values)
        self._num_waiting += len(values)
        if self._num_waiting >= BLOCK_ROWS:
            joined = np.concatenate(self._waiting)
            for start in range(0, len(joined) - BLOCK_ROWS + 1, BLOCK_ROWS):
                self._fold(joined[start : start + BLOCK_ROWS])
            self._waiting = [joined[len(joined) - len(joined) % BLOCK_ROWS :]]
            self._num_waiting = len(self._waiting[0])

    def _fold(self, values: NDArray[np.float64]) -> None:
        mean = float(values.mean())
        total = self._num_folded + len(values)
        shift = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum()) + shift * shift * self._num_folded * len(values) / total
        self._mean += shift * len(values) / total
        self._num_folded = total

    def settle(self) -> tuple[float, float]:
        """The mean, and the deviation: 1 for a constant column, so that it may divide. Nothing is added afterwards."""
        if self._num_waiting:
            self._fold(np.concatenate(self._waiting))
            self._waiting, self._num_waiting = [], 0
        if self.low >= self.high:
            return self._mean, 1.0
        return self._mean, math.sqrt(self._squares / self._num_folded) or 1.0


class Sample:
    """At most `limit` rows of a stream, chosen by a hash of its number: streams side by side keep the same rows."""

    def __init__(self, limit: int = SAMPLE_ROWS, seed: int = 0):
        self.limit = limit
        self.key = np.uint64(key(seed, "field sample"))
        self.rows = 0
        self.halvings = 0
        self.kept: list[Array] = []
        self.hashes: list[NDArray[np.uint64]] = []
        self.count = 0

    def add(self, values: Array) -> None:
        """Count a chunk in."""
        self.add_rows(len(values), lambda places: values[places])

    def add_rows(self, num_rows: int, take: Callable[[NDArray[np.int64]], Array]) -> None:
        """Count rows in; only those chosen are taken."""
        hashes = mix(np.arange(self.rows, self.rows + num_rows, dtype=np.uint64) ^ self.key)
        self.rows += num_rows
        chosen = self._chosen(hashes)
        self.kept.append(take(np.flatnonzero(chosen)))
        self.hashes.append(hashes[chosen])
        self.count += int(chosen.sum())
        while self.count > self.limit:
            self.halvings += 1
            kept, all_hashes = np.concatenate(self.kept), np.concatenate(self.hashes)
            chosen = self._chosen(all_hashes)
            self.kept, self.hashes, self.count = [kept[chosen]], [all_hashes[chosen]], int(chosen.sum())

    def _chosen(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        if self.halvings == 0:
            return np.ones(len(hashes), dtype=np.bool_)
        leading: NDArray[np.uint64] = hashes >> np.uint64(WORD_BITS - self.halvings)
        chosen: NDArray[np.bool_] = leading == np.uint64(0)
        return chosen

    def values(self) -> Array:
        """The rows kept, in the stream's order."""
        return np.concatenate(self.kept) if self.kept else np.zeros(0)
