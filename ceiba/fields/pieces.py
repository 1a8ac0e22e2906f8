"""Rows of any length in pieces that a network can take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ceiba.fields.field import Array, Ragged


@dataclass(frozen=True, eq=False)
class Pieces(Ragged):
    """Each piece begins with the last token of the one before it in its row."""

    owners: NDArray[np.int64]
    """Which row each piece is of."""
    num_rows: int

    def add_up(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """What was found for each piece, added up for each row; zeros for a row without a piece."""
        sums = np.zeros((self.num_rows, *values.shape[1:]))
        np.add.at(sums, self.owners, values)
        return sums


EVERY = 7
"""Where tokens are hidden to be told: about as many as in training, and always the same."""


def hidden(rows: Sequence[NDArray[np.int32]], width: int, mask: int) -> dict[str, Array | Ragged]:
    """Rows of tokens in pieces of at most width, every seventh token hidden: `ids`, and `targets` where one is."""
    places = [(owner, start) for owner, row in enumerate(rows) for start in range(0, len(row), width)]
    found = [rows[owner][start : start + width] for owner, start in places]
    chosen = [np.arange(len(piece)) % EVERY == EVERY // 2 for piece in found]
    owners = np.array([owner for owner, _ in places], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, found)], dtype=np.int64)
    tokens = np.concatenate([np.zeros(0, np.int32), *found])
    told = np.concatenate([np.zeros(0, np.bool_), *chosen])
    ids, targets = np.where(told, np.int32(mask), tokens), np.where(told, tokens, np.int32(0))
    return {name: Pieces(part, offsets, owners, len(rows)) for name, part in (("ids", ids), ("targets", targets))}


def in_pieces(rows: Sequence[NDArray[np.int32]], width: int) -> Pieces:
    """Rows of tokens in pieces of at most width + 1, each of which predicts all of its tokens but the first.

    A row of fewer than two tokens has nothing to predict from, and no piece.
    """
    places = [(owner, start) for owner, row in enumerate(rows) for start in range(0, len(row) - 1, width)]
    found = [rows[owner][start : start + width + 1] for owner, start in places]
    owners = np.array([owner for owner, _ in places], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, found)], dtype=np.int64)
    return Pieces(np.concatenate([np.zeros(0, np.int32), *found]), offsets, owners, len(rows))
