"""Settings left to `auto`: measured on this machine before the first step, and changed only for a clear gain.

What is chosen is kept in every checkpoint and in the report: a run that goes on never measures again, since number
formats and compiled kernels differ in bits.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import islice

import numpy as np
import torch
from torch import nn

from ceiba.answers import Answer
from ceiba.base.errors import RecipeError
from ceiba.base.ranks import num_ranks
from ceiba.batches import Batch, Batches
from ceiba.layers import TransformerBlock
from ceiba.model import Model
from ceiba.train.fitting import fits
from ceiba.train.rate import find_rate
from ceiba.train.sight import peak_flops
from ceiba.train.spec import TrainSpec
from ceiba.train.step import Run, Settings, pick_device
from ceiba.train.world import World

GAIN = 1.15
"""How much faster a setting must be than what it replaces."""
WORTH_S = 20.0
"""Expected seconds of training from which measuring may pay."""
COMPILE_WORTH_S = 900.0
"""The same for compiling, which itself takes tens of seconds."""
MOST_S = 5.0
TIMED_STEPS, LONG_STEP_S = 3, 0.5
PROBE_SIDE, PROBE_S = 512, 0.01
"""Of the products that tell whether a number format pays."""
LEAST_BATCHES, MOST_BATCHES = 6, 30
LOADERS = (0, 1, 2)
"""Numbers of threads that make batches."""
WIDE = (nn.Conv1d, nn.Conv2d, nn.RNNBase, TransformerBlock)
"""Layers whose quality does not suffer in bfloat16 and whose products are large enough to gain from it."""
LIGHT_PRODUCTS = 32_000_000


@dataclass(frozen=True)
class Chosen:
    """The settings of a run, and what was measured to find them."""

    settings: Settings
    measured: list[dict[str, object]] = field(default_factory=list)
    """Each candidate and the seconds of one step."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """(rate, loss) of the steps by which a learning rate was found."""

    def to_json(self) -> dict[str, object]:
        curve = {"lr_curve": self.curve} if self.curve else {}
        return {**asdict(self.settings), "measured": self.measured, **curve}


def is_light(model: Model, batch_rows: int) -> bool:
    """Whether a step is so short that sharing it between threads costs more than it gains: few products, all in dense
    layers."""
    if model.members or any(isinstance(part, WIDE) for part in model.modules()):
        return False
    weights = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear))
    return weights * batch_rows < LIGHT_PRODUCTS


def defaults(model: Model, spec: TrainSpec) -> Settings:
    """What the recipe says, and for `auto` what is always right."""
    return Settings(
        precision="fp32" if spec.precision == "auto" else spec.precision,
        channels_last=spec.channels_last is True,
        threads=spec.threads or (1 if is_light(model, spec.batch_rows) else torch.get_num_threads()),
        compile=spec.compile is True,
        accumulate=1 if spec.accumulate == "auto" else spec.accumulate,
        workers=0 if spec.workers == "auto" else spec.workers,
    )


def candidates(model: Model, spec: TrainSpec, base: Settings) -> Iterator[dict[str, object]]:
    """Changes of the defaults worth a try."""
    wide = spec.precision == "auto" and any(isinstance(part, WIDE) for part in model.modules())
    images = spec.channels_last == "auto" and any(isinstance(part, nn.Conv2d) for part in model.modules())
    if wide:
        yield {"precision": "bf16"}
    if images:
        yield {"channels_last": True}
    if wide and images:
        yield {"precision": "bf16", "channels_last": True}
    if spec.threads is None and pick_device(spec.device) == "cpu" and base.threads > 1:
        yield {"threads": base.threads // 2}


def choose(model: Model, batches: Batches, valid: Batches, answers: Mapping[str, Answer], spec: TrainSpec) -> Chosen:
    """Settings for this model, these rows and this machine; the model is left as it is.

    Costs a few steps where training takes seconds, and at most 5 s or a twentieth of the training where it takes longer
    (compiling, and a search for the learning rate, apart).
    """

    def copied(settings: Settings) -> Run:
        alone = World(spec.parallel, torch.device("cpu"), alone=True)
        return Run(deepcopy(model), batches, valid, answers, spec, settings, alone)

    base = fitting(copied, defaults(model, spec), batches, spec)
    found = loading(copied, fastest(copied, base, model, batches, spec), batches, spec)
    if spec.optimizer.lr != "auto":
        return found
    torch.set_num_threads(found.settings.threads)
    lr, curve = find_rate(copied(replace(found.settings, compile=False)), batches)
    return replace(found, settings=replace(found.settings, lr=lr), curve=curve)


def fitting(copied: Callable[[Settings], Run], base: Settings, batches: Batches, spec: TrainSpec) -> Settings:
    """The same settings with a step in as few parts as fit into memory, tried on the largest batch there can be.

    Raises: RecipeError if not even a step of single rows fits.
    """
    if spec.accumulate != "auto" or (spec.memory_bytes is None and pick_device(spec.device) == "cpu"):
        return base
    batch = batches.largest(num_ranks())
    while not fits(copied(base), batch):
        if base.accumulate >= batch.num_rows:
            raise RecipeError("One row must fit into memory", "a step that does not", "Use a smaller network")
        base = replace(base, accumulate=2 * base.accumulate)
    return base


def fastest(
    copied: Callable[[Settings], Run], base: Settings, model: Model, batches: Batches, spec: TrainSpec
) -> Chosen:
    """Of the settings that may be changed, those that prove faster."""
    best = base
    tries = list(candidates(model, spec, best))
    may_compile = spec.compile == "auto" and not batches.lengths_differ
    if not tries and not may_compile:
        return Chosen(best)
    began, batch = time.monotonic(), next(batches.epoch(0))

    def seconds(settings: Settings) -> float:
        torch.set_num_threads(settings.threads)
        return step_seconds(copied(settings), batch)

    base_s = best_s = seconds(best)
    measured: list[dict[str, object]] = [{**asdict(best), "step_seconds": best_s}]
    steps = spec.total(batches.per_epoch)
    limit_s = time.monotonic() - began + min(MOST_S, base_s * steps / 20)
    for change in tries if base_s * steps >= WORTH_S else ():
        if time.monotonic() - began > limit_s:
            break
        if change.get("precision") == "bf16" and not gains_from_bf16(pick_device(spec.device)):
            continue
        if change == {"channels_last": True} and best.precision != base.precision:
            continue  # it comes once more, together with the number format
        candidate = replace(best if "threads" in change else base, **change)  # type: ignore[arg-type]
        found_s = seconds(candidate)
        measured.append({**asdict(candidate), "step_seconds": found_s})
        least_s = best_s / GAIN if "threads" in change else min(base_s / GAIN, best_s)
        if found_s <= least_s:
            best, best_s = candidate, found_s
    if may_compile and best_s * steps >= COMPILE_WORTH_S:
        candidate = replace(best, compile=True)
        try:
            found_s = seconds(candidate)
        except Exception as error:  # no C++ compiler, or a model that torch cannot trace: eager always works
            measured.append({**asdict(candidate), "failed": str(error).partition("\n")[0]})
            return Chosen(best, measured)
        measured.append({**asdict(candidate), "step_seconds": found_s})
        best = candidate if found_s * GAIN <= best_s else best
    return Chosen(best, measured)


@cache
def gains_from_bf16(device: str) -> bool:
    """Whether a product in bfloat16 is faster here than in float32: a processor that only imitates the format takes
    several times as long, and a single step of a model would cost seconds to show it."""
    fp32, bf16 = (
        peak_flops(torch.device(device), kind, PROBE_SIDE, PROBE_S) for kind in (torch.float32, torch.bfloat16)
    )
    return bf16 > fp32


def loading(copied: Callable[[Settings], Run], found: Chosen, batches: Batches, spec: TrainSpec) -> Chosen:
    """The same, with threads that make batches ahead, where making them takes long enough and it proves faster."""
    if spec.workers != "auto":
        return found
    made_s = batch_seconds(batches)
    if made_s * spec.total(batches.per_epoch) < (GAIN - 1) * WORTH_S:
        return found
    torch.set_num_threads(found.settings.threads)
    run, best, best_s, measured = copied(replace(found.settings, compile=False)), found.settings, math.inf, []
    for workers in LOADERS:
        candidate = replace(found.settings, workers=workers)
        found_s = loop_seconds(run, replace(batches, workers=workers), MOST_S / len(LOADERS))
        measured.append({**asdict(candidate), "seconds_with_loading": found_s})
        if found_s * GAIN <= best_s:
            best, best_s = candidate, found_s
        if made_s < (1 - 1 / GAIN) * found_s:
            break
    return replace(found, settings=best, measured=[*found.measured, *measured])


def batch_seconds(batches: Batches) -> float:
    """Time to make one batch; the first, whose pages may not be in memory yet, is not counted."""
    rows, times = np.arange(min(batches.batch_rows, batches.arrays.num_rows)), []
    for epoch in range(TIMED_STEPS + 1):
        began = time.perf_counter()
        batches.make(rows, epoch)
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[TIMED_STEPS // 2]


def loop_seconds(run: Run, batches: Batches, most_s: float) -> float:
    """Time of a batch and its step, from nothing made to the last step done."""
    run.model.train()
    began, done = time.perf_counter(), 0
    for batch in islice(batches.epoch(0), MOST_BATCHES):
        float(run.backward(batch.to(run.device)))
        run.optimizer.zero_grad(set_to_none=True)
        done += 1
        if done >= LEAST_BATCHES and time.perf_counter() - began > most_s:
            break
    return (time.perf_counter() - began) / done


def step_seconds(run: Run, batch: Batch) -> float:
    """Median time of forward and backward; the first, which also warms up, is not counted. One is enough where a step
    is so long that little disturbs it."""
    batch, times = batch.to(run.device), []
    run.model.train()
    for _ in range(TIMED_STEPS + 1):
        began = time.perf_counter()
        float(run.backward(batch))
        times.append(time.perf_counter() - began)
        run.optimizer.zero_grad(set_to_none=True)
        if sum(times[1:]) > LONG_STEP_S:
            break
    return sorted(times[1:])[(len(times) - 1) // 2]
