"""Figures of a stream that do not depend on how the stream is cut into chunks."""

import math
from collections.abc import Iterable, Iterator

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


def blocks(stream: Iterable[Array], rows: int = BLOCK_ROWS) -> Iterator[Array]:
    """The same rows in blocks of equal size (the last may be shorter), so that sums are added in one order."""
    waiting: list[Array] = []
    count = 0
    for chunk in stream:
        waiting.append(chunk)
        count += len(chunk)
        if count >= rows:
            joined = np.concatenate(waiting)
            for start in range(0, count - rows + 1, rows):
                yield joined[start : start + rows]
            waiting = [joined[count - count % rows :]]
            count %= rows
    if count:
        yield np.concatenate(waiting)


class Moments:
    """Count, mean, deviation, lowest and highest of a stream.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, values: NDArray[np.float64]) -> None:
        """Count one block in; NaN is not allowed."""
        if not len(values):
            return
        mean = float(values.mean())
        total = self.count + len(values)
        shift = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + shift * shift * self.count * len(values) / total
        self.mean += shift * len(values) / total
        self.count = total
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    @property
    def std(self) -> float:
        """The deviation over all rows; 1 for a constant column, so that it may divide."""
        if self.low == self.high or self.count == 0:
            return 1.0
        return math.sqrt(self.squares / self.count) or 1.0


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
        hashes = mix(np.arange(self.rows, self.rows + len(values), dtype=np.uint64) ^ self.key)
        self.rows += len(values)
        chosen = self._chosen(hashes)
        self.kept.append(values[chosen])
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
        return leading == np.uint64(0)

    def values(self) -> Array:
        """The rows kept, in the stream's order."""
        return np.concatenate(self.kept) if self.kept else np.zeros(0)
