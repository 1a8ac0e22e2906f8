"""Which rows: by their positions, 4 bytes each where that is enough, or marked by a bit a row of the table.

Of a large table they are what stays in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 1 << 18


def position_type(length: int) -> type[np.signedinteger[Any]]:
    """What holds the positions of `length` rows."""
    return np.int32 if length <= np.iinfo(np.int32).max else np.int64


def positions(length: int) -> NDArray[Any]:
    """0, 1, ... length - 1."""
    return np.arange(length, dtype=position_type(length))


@dataclass(frozen=True)
class Marked:
    """Some of the first `length` rows, one bit each."""

    bits: NDArray[np.uint8]
    length: int

    @classmethod
    def of(cls, rows: NDArray[Any], length: int | None = None) -> "Marked":
        """Those at positions in rising order; of as many rows as the last of them needs, unless told."""
        length = (int(rows[-1]) + 1 if len(rows) else 0) if length is None else length
        assert len(rows) == 0 or (rows[0] >= 0 and rows[-1] < length and bool((rows[1:] > rows[:-1]).all()))
        chosen = np.zeros(length, dtype=np.bool_)
        chosen[rows] = True
        return cls(np.packbits(chosen), length)

    def between(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Whether each row from `start` to before `stop` is among them."""
        first = start // 8
        part = np.unpackbits(self.bits[first : -(-stop // 8)])
        return part[start - 8 * first : stop - 8 * first].view(np.bool_)

    def positions(self) -> NDArray[Any]:
        """Their positions in rising order."""
        return np.concatenate(list(self.blocks()))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """The same a block at a time; at least one, that may be empty."""
        kind = position_type(self.length)
        for start in range(0, max(self.length, 1), BLOCK_ROWS):
            found = np.flatnonzero(self.between(start, min(start + BLOCK_ROWS, self.length)))
            yield (found + start).astype(kind)
