"""Rows that come batch by batch, in one array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rows:
    """What batches give, row after row, in one array that is made once: thousands of small ones, each between large
    ones that come and go, would leave memory in pieces too small to be used again."""

    def __init__(self, most: int):
        self.most, self.done = most, 0
        self.values: NDArray[Any] = np.empty((0, 0))

    def add(self, part: NDArray[Any]) -> None:
        """One more batch."""
        if not self.done:
            self.values = np.empty((self.most, *part.shape[1:]), dtype=part.dtype)
        self.values[self.done : self.done + len(part)] = part
        self.done += len(part)

    def all(self) -> NDArray[Any]:
        """Every row so far."""
        return self.values[: self.done]
