"""Arrays, served a batch at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ceiba.batches.ahead import ahead
from ceiba.batches.augment import OFF, AugmentSpec, augment
from ceiba.batches.batch import Batch, gather
from ceiba.batches.masking import Denoising, Masking
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
    workers: int = 0
    """Threads that make batches ahead; whatever their number, the batches are the same bit for bit."""
    masking: Masking | Denoising | None = None
    """What hides tokens, where they are what is learnt."""

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
        order = epoch_order(self.arrays.num_rows, self.batch_rows, self.seed, epoch, self.lengths())
        yield from ahead(partial(self.make, epoch=epoch, share=share), order[start:], self.workers, self._told)

    def make(self, positions: NDArray[np.int64], epoch: int, share: tuple[int, int] = (0, 1)) -> Batch:
        """One augmented batch, or one process's share of it."""
        batch = self._own(self.arrays.at_epoch(self.seed, epoch), positions, share, epoch)
        return augment(batch, self.augment, self.seed, epoch)

    def largest(self, size: int = 1) -> Batch:
        """The batch that needs the most room, of the longest rows; with `size` processes, the share of one of them."""
        lengths, count = self.lengths(), -(-min(self.batch_rows, self.arrays.num_rows) // size)
        order = np.arange(self.arrays.num_rows) if lengths is None else np.argsort(lengths, kind="stable")
        return self.make(order[-count:], 0)

    def in_order(self, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """(positions, batch) over every row once, neither shuffled nor augmented, for validation.

        `share` as for `epoch`; where a process has no row of a batch, its positions are none.
        """

        def make(positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], Batch]:
            return positions[share[0] :: share[1]], self._own(self.arrays, positions, share, None)

        order = ordered(self.arrays.num_rows, self.batch_rows, self.lengths())
        yield from ahead(make, order, self.workers, self._told)

    def _told(self, positions: NDArray[np.int64]) -> str:
        return f"row {self.arrays.rows[positions[0]] + 1} and {len(positions) - 1} more"

    def _own(self, arrays: Arrays, positions: NDArray[np.int64], share: tuple[int, int], epoch: int | None) -> Batch:
        """A process's rows of a batch, or one that weighs nothing, so that all processes take the same steps."""
        own = positions[share[0] :: share[1]]
        batch = gather(arrays, own if len(own) else positions[:1])
        batch = batch if len(own) else replace(batch, weight=torch.zeros(1))
        return batch if self.masking is None else self.masking(batch, self.seed, epoch)
