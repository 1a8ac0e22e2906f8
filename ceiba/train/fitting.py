"""How much memory a step takes, and into how many parts its rows must be cut to fit."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ceiba.batches import Batch
from ceiba.train.step import Run


class LivePeak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While entered, adds up the bytes of every tensor that is made, until it is freed; `bytes` is the largest sum.

    Counted are the tensors themselves, on whatever device, not what an allocator keeps for later.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes, self.live = 0, 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {id(one.untyped_storage()) for one in tree_iter((args, kwargs)) if isinstance(one, Tensor)}
        for one in tree_iter(result):
            if isinstance(one, Tensor) and id(one.untyped_storage()) not in given:
                self._count(one.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        name = id(storage)
        if name in self._seen:
            return
        self._seen.add(name)
        size = storage.nbytes()
        self.live += size
        self.bytes = max(self.bytes, self.live)
        weakref.finalize(storage, self._freed, name, size)

    def _freed(self, name: int, size: int) -> None:
        self._seen.discard(name)
        self.live -= size


def step_bytes(run: Run, batch: Batch) -> int:
    """Peak of what forward and backward make: gradients, and what the backward pass needs of the forward pass."""
    peak = LivePeak()
    with peak:
        run.backward(batch)
    for parameter in run.parameters:
        parameter.grad = None
    return peak.bytes


def fits(run: Run, batch: Batch) -> bool:
    """Whether a step stays within `train.memory_bytes` or, where none is told, within what the accelerator has."""
    if run.spec.memory_bytes is not None:
        return step_bytes(run, batch) <= run.spec.memory_bytes
    try:
        run.backward(batch)
        return True
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()  # does nothing where there is none
        return False
    finally:
        for parameter in run.parameters:
            parameter.grad = None
