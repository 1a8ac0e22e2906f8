"""Arrays, served a batch at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ceiba.batches.augment import OFF, AugmentSpec, augment
from ceiba.batches.batch import Batch, gather
from ceiba.batches.order import epoch_order, ordered
from ceiba.fields import Ragged
from ceiba.prepare import Arrays


@dataclass(frozen=True)
class Batches:
    """The batches of some arrays; `epoch(n)` may be asked for any epoch, from any batch on, in any order of asking."""

    arrays: Arrays
    batch_rows: int
    seed: int
    augment: AugmentSpec = OFF

    @property
    def per_epoch(self) -> int:
        return -(-self.arrays.num_rows // self.batch_rows)

    @property
    def lengths_differ(self) -> bool:
        """Whether rows hold texts or sets of different lengths, so that batches have many shapes."""
        return any(isinstance(part, Ragged) for part in self.arrays.parts.values())

    def lengths(self) -> NDArray[np.int64] | None:
        """Tokens a row over all ragged parts, or nothing where no part is ragged."""
        ragged = [part.lengths for part in self.arrays.parts.values() if isinstance(part, Ragged)]
        return np.sum(ragged, axis=0) if ragged else None

    def rows_of(self, epoch: int, place: int) -> NDArray[np.int64]:
        """Addresses of the rows of one batch, without reading them."""
        order = epoch_order(self.arrays.num_rows, self.batch_rows, self.seed, epoch, self.lengths())
        return self.arrays.rows[order[place]]

    def epoch(self, epoch: int, start: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Shuffled and augmented batches for training, beginning with batch `start`.

        `share` = (rank, size) gives each of several processes its rows of every batch; one without any gets a row that
        weighs nothing.
        """
        rank, size = share
        order = epoch_order(self.arrays.num_rows, self.batch_rows, self.seed, epoch, self.lengths())
        arrays = self.arrays.at_epoch(self.seed, epoch)
        for positions in order[start:]:
            own = positions[rank::size]
            batch = gather(arrays, own if len(own) else positions[:1])
            if not len(own):
                batch = replace(batch, weight=torch.zeros(1))
            yield augment(batch, self.augment, self.seed, epoch)

    def largest(self, size: int = 1) -> Batch:
        """The batch that needs the most room, of the longest rows; with `size` processes, the share of one of them."""
        lengths, count = self.lengths(), -(-min(self.batch_rows, self.arrays.num_rows) // size)
        order = np.arange(self.arrays.num_rows) if lengths is None else np.argsort(lengths, kind="stable")
        return augment(gather(self.arrays, order[-count:]), self.augment, self.seed, 0)

    def in_order(self) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """(positions, batch) over every row once, neither shuffled nor augmented, for validation."""
        for positions in ordered(self.arrays.num_rows, self.batch_rows, self.lengths()):
            yield positions, gather(self.arrays, positions)
