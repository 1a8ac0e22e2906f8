"""How fast a training is: rows, tokens and operations a second, and how long it waited for data."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ceiba.batches import Batch
from ceiba.layers import EnsembleLinear, MemberLinear, SelfAttention

PEAK_S, PEAK_SIDE = 0.2, 1024
BACKWARD = 2
"""A backward pass computes two products for each one of the forward pass: gradients of inputs and of weights."""


class Sight:
    """Counts what passes between two looks."""

    def __init__(self) -> None:
        self.flops_a_row, self.peak = 0, 0.0
        """Of one row, and the most that this device was seen to do in a second; 0: not measured."""
        self._reset()

    def _reset(self) -> None:
        self.rows = self.tokens = 0
        self.waited_s, self.began = 0.0, time.perf_counter()

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches, counted; the time between asking for one and having it is waiting."""
        asked = time.perf_counter()
        for batch in batches:
            self.waited_s += time.perf_counter() - asked
            self.rows += batch.num_rows
            self.tokens += sum(part.numel() for name, part in batch.inputs.items() if name.endswith(".ids"))
            yield batch
            asked = time.perf_counter()

    def look(self) -> dict[str, float]:
        """Figures since the last look. MFU is the share of the device's measured peak that the model's products use."""
        seconds = max(time.perf_counter() - self.began, 1e-9)
        found = {"rows_per_second": self.rows / seconds, "data_wait_share": self.waited_s / seconds}
        if self.tokens:
            found["tokens_per_second"] = self.tokens / seconds
        if self.flops_a_row:
            found["gflops"] = self.flops_a_row * self.rows / seconds / 1e9
        if self.peak:
            found["mfu"] = self.flops_a_row * self.rows / seconds / self.peak
        self._reset()
        return found


@contextmanager
def traced(path: Path, wanted: bool) -> Iterator[Callable[[], None]]:
    """Within: what to call after each step; a few of them are then written as a trace by torch's profiler."""
    if not wanted:
        yield lambda: None
        return
    few = torch.profiler.schedule(wait=2, warmup=2, active=5, repeat=1)
    with torch.profiler.profile(
        schedule=few, on_trace_ready=lambda one: one.export_chrome_trace(str(path))
    ) as profiler:
        yield profiler.step


def flops_of(model: nn.Module, batch: Batch) -> int:
    """Floating-point operations of one row, forward and backward, by closed formulas for the layers that multiply.

    A product and its addition are two. Torch's own counter sees neither LSTM nor attention on a processor.
    """
    total = [0]

    def count(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        total[0] += _flops(layer, inputs[0], output)

    hooks = [part.register_forward_hook(count) for part in model.modules()]
    was = model.training
    model.eval()
    with torch.inference_mode():
        model(batch.inputs)
    model.train(was)
    for hook in hooks:
        hook.remove()
    return (1 + BACKWARD) * total[0] // max(batch.num_rows, 1)


def _flops(layer: nn.Module, values: Any, output: Any) -> int:
    if isinstance(layer, nn.Linear | EnsembleLinear | MemberLinear):
        return int(2 * output.numel() * values.shape[-1])
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return int(2 * output.numel() * layer.weight[0].numel())
    if isinstance(layer, nn.RNNBase):
        matrices = sum(weight.numel() for name, weight in layer.named_parameters() if name.startswith("weight"))
        return 2 * matrices * int(values.shape[0] * values.shape[1])
    if isinstance(layer, SelfAttention):
        rows, tokens, dim = values.shape
        return 4 * int(rows * tokens * tokens * dim)  # Q Kᵀ, and the weights times V
    return 0


def peak_flops(
    device: torch.device, kind: torch.dtype = torch.float32, side: int = PEAK_SIDE, seconds: float = PEAK_S
) -> float:
    """Operations a second of the best of many square matrix products on this device, with the threads in use.

    The first is not counted: it makes the kernel, which may take longer than all others together.
    """
    left: Tensor = torch.randn(side, side, device=device).to(kind)
    float((left @ left)[0, 0])
    best_s, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        product = left @ left
        float(product[0, 0])  # waits for the device
        best_s = min(best_s, time.perf_counter() - began)
    return 2 * side**3 / best_s
