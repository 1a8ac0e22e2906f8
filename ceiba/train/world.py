"""Several processes that train one model on torch's own engine, each on its share of every step's rows.

DDP keeps the whole model in each process and averages gradients; FSDP2 (`fully_shard`) also cuts weights, gradients and
optimizer states into a share for each. Source: Li et al. 2020, arXiv:2006.15704; Zhao et al. 2023, arXiv:2304.11277.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ceiba.base.optional import require
from ceiba.base.ranks import num_ranks, rank
from ceiba.layers import ResidualBlock, TransformerBlock

BLOCKS = (TransformerBlock, ResidualBlock)
"""What FSDP2 gathers, and activation checkpointing computes again, one at a time."""
Value = TypeVar("Value")


class World:
    """The processes of one training; alone, every method does nothing."""

    def __init__(self, parallel: str, device: torch.device, alone: bool = False):
        self.parallel = parallel
        self.rank, self.size = (0, 1) if alone else (rank(), num_ranks())
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints for all."""
        return self.rank == 0

    @property
    def cuts(self) -> bool:
        """Whether each process holds but a share of the weights."""
        return self.size > 1 and self.parallel == "fsdp"

    @property
    def is_alone(self) -> bool:
        """Whether there is but one process."""
        return self.size == 1

    def share(self, model: nn.Module) -> nn.Module:
        """What to call in place of the model, so that gradients are averaged over all processes."""
        if self.is_alone:
            return model
        if self.parallel == "ddp":
            return DistributedDataParallel(model)
        # Loaded here alone, since a single process has no use for it.
        fully_shard = require("torch.distributed.fsdp", "train", "share a model between processes").fully_shard
        for module in list(model.modules()):
            if isinstance(module, BLOCKS):
                fully_shard(module)
        fully_shard(model)
        return model

    def add_up(self, vector: Tensor) -> Tensor:
        """The sum over all processes."""
        if not self.is_alone:
            dist.all_reduce(vector)
        return vector

    def agree(self, decide: Callable[[], Value]) -> Value:
        """What the leading process finds; the others wait for it."""
        if self.is_alone:
            return decide()
        found: list[Any] = [decide() if self.leads else None]
        dist.broadcast_object_list(found)
        return found[0]  # type: ignore[no-any-return]

    def collect(self, value: Value) -> list[Value]:
        """What every process found, for the leading one; nothing for the others."""
        if self.is_alone:
            return [value]
        found: list[Any] = [None] * self.size
        dist.gather_object(value, found if self.leads else None)
        return found if self.leads else []

    def wait(self) -> None:
        """Until all are here."""
        if not self.is_alone:
            dist.barrier()

    @contextmanager
    def synchronized(self, shared: nn.Module, last: bool) -> Iterator[None]:
        """Gradients of all but the last part of a step stay here, to be averaged once."""
        quiet: AbstractContextManager[None] = nullcontext()
        if not last and isinstance(shared, DistributedDataParallel):
            quiet = shared.no_sync()
        elif self.cuts:
            shared.set_requires_gradient_sync(last)  # type: ignore[operator]
        with quiet:
            yield


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors put together from the shares of all processes; every process must ask."""
    return {name: value.full_tensor() if is_cut(value) else value for name, value in tensors.items()}  # type: ignore[attr-defined]


def like(value: Tensor, reference: Tensor) -> Tensor:
    """A whole tensor cut as the reference is."""
    if not is_cut(reference):
        return value
    tensor = require("torch.distributed.tensor", "train", "share a model between processes")
    cut: Tensor = tensor.distribute_tensor(value.to(reference.device), reference.device_mesh, reference.placements)  # type: ignore[attr-defined]
    return cut


def own_share(value: Tensor) -> Tensor:
    """What this process holds of a tensor, in the same memory."""
    return value.to_local() if is_cut(value) else value  # type: ignore[attr-defined]


def is_cut(value: Tensor) -> bool:
    """Whether a tensor is this process's share of a larger one (a DTensor)."""
    return hasattr(value, "full_tensor")
