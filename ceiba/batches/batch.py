"""One step's tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ceiba.fields import Ragged, Windows
from ceiba.prepare import Arrays


@dataclass(frozen=True)
class Mix:
    """Rows blended with a partner: the loss is share · loss(own target) + (1 - share) · loss(partner's)."""

    targets: dict[str, Tensor]
    """The partners' targets by output name."""
    share: Tensor


@dataclass(frozen=True)
class Batch:
    """Tensors by part name, targets by output name, a weight and an address a row."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    weight: Tensor | None
    rows: NDArray[np.int64]
    mix: Mix | None = None
    known: frozenset[str] = frozenset()
    """Targets that are there for every row of the data set."""

    @property
    def num_rows(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device; on the CPU, itself."""
        if device.type == "cpu":
            return self
        return self._changed(lambda part: part.to(device, non_blocking=True), self.rows)

    def parts(self, count: int) -> "list[Batch]":
        """The same rows in at most `count` smaller batches of about one size, in their order."""
        if count == 1:
            return [self]
        edges = np.linspace(0, self.num_rows, min(count, self.num_rows) + 1).astype(int).tolist()
        places = [slice(start, stop) for start, stop in pairwise(edges)]
        return [self._changed(itemgetter(place), self.rows[place]) for place in places]

    def _changed(self, change: Callable[[Tensor], Tensor], rows: NDArray[np.int64]) -> "Batch":
        """Every tensor changed alike."""

        def each(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: change(tensor) for name, tensor in tensors.items()}

        weight = None if self.weight is None else change(self.weight)
        mix = None if self.mix is None else Mix(each(self.mix.targets), change(self.mix.share))
        return Batch(each(self.inputs), each(self.targets), weight, rows, mix, self.known)


def gather(arrays: Arrays, positions: NDArray[np.int64]) -> Batch:
    """Copy some rows out of the memory-mapped arrays; ragged parts are padded with zeros to the longest of them."""
    inputs = {name: torch.from_numpy(_taken(part, positions)) for name, part in arrays.parts.items()}
    targets = {name: torch.from_numpy(_taken(target, positions)) for name, target in arrays.targets.items()}
    weight = None if arrays.weight is None else torch.from_numpy(arrays.weight.take(positions))
    return Batch(inputs, targets, weight, arrays.rows.take(positions), known=arrays.known)


def _taken(part: Ragged | Windows | NDArray[Any], positions: NDArray[np.int64]) -> NDArray[Any]:
    """The rows of one part, in an array of their own; `take` finds them in a fraction of the time of an index."""
    if isinstance(part, Ragged):
        return part.take(positions).pad()
    return part[positions] if isinstance(part, Windows) else part.take(positions, axis=0)
