"""Rows of any length in pieces that a network can take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ceiba.fields.corruption import Corruption
from ceiba.fields.field import TEACHER, Array, Ragged


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
    whole = apart(rows, width)
    told = (np.arange(len(whole.values)) - np.repeat(whole.offsets[:-1], whole.lengths)) % EVERY == EVERY // 2
    ids, targets = np.where(told, np.int32(mask), whole.values), np.where(told, whole.values, np.int32(0))
    return {"ids": replace(whole, values=ids), "targets": replace(whole, values=targets)}


def restored(rows: Sequence[NDArray[np.int32]], width: int, corruption: Corruption) -> dict[str, Array | Ragged]:
    """Rows of tokens in pieces of at most width, spans of them left out, always the same ones: `ids`, and what
    restores them."""
    whole = apart(rows, width)
    ids = whole.pad()
    parts = zip(("ids", TEACHER), corruption(ids, corruption.fixed(ids)), strict=True)
    return {name: Pieces(part.values, part.offsets, whole.owners, whole.num_rows) for name, part in parts}


def apart(rows: Sequence[NDArray[np.int32]], width: int) -> Pieces:
    """Rows of tokens in pieces of at most width that share no token."""
    places = [(owner, start) for owner, row in enumerate(rows) for start in range(0, len(row), width)]
    found = [rows[owner][start : start + width] for owner, start in places]
    owners = np.array([owner for owner, _ in places], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, found)], dtype=np.int64)
    return Pieces(np.concatenate([np.zeros(0, np.int32), *found]), offsets, owners, len(rows))


def in_pieces(rows: Sequence[NDArray[np.int32]], width: int) -> Pieces:
    """Rows of tokens in pieces of at most width + 1, each of which predicts all of its tokens but the first.

    A row of fewer than two tokens has nothing to predict from, and no piece.
    """
    places = [(owner, start) for owner, row in enumerate(rows) for start in range(0, len(row) - 1, width)]
    found = [rows[owner][start : start + width + 1] for owner, start in places]
    owners = np.array([owner for owner, _ in places], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, found)], dtype=np.int64)
    return Pieces(np.concatenate([np.zeros(0, np.int32), *found]), offsets, owners, len(rows))
