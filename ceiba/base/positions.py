"""Which rows: by their positions, 4 bytes each where that is enough, or marked by a bit a row of the table.

Of a large table they are what stays in memory.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def positions(length: int) -> NDArray[Any]:
    """0, 1, ... length - 1."""
    return np.arange(length, dtype=np.int32 if length <= np.iinfo(np.int32).max else np.int64)


@dataclass(frozen=True)
class Marked:
    """Some of the first `length` rows, one bit each."""

    bits: NDArray[np.uint8]
    length: int

    @classmethod
    def of(cls, rows: NDArray[Any], length: int) -> "Marked":
        """Those at positions in rising order."""
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
        return positions(self.length)[self.between(0, self.length)]
