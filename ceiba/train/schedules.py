"""Schedules: step → share of the peak learning rate.

Pure functions of the step, of the number of steps and of the figures of the epochs behind it: nothing else is saved.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from ceiba.base.spec import Spec, one_of

History = Sequence[Mapping[str, float]]


class ScheduleSpec(Spec):
    """Base of schedules: a linear warm-up, then `after`."""

    warmup_steps: int = Field(0, ge=0)
    """Steps over which the rate rises linearly from zero."""

    def factor(self, step: int, total: int, history: History = ()) -> float:
        """Share of the peak rate at `step` (from 0) of `total`; `history` holds a row for each validation behind it."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        return self.after(step - self.warmup_steps, max(total - self.warmup_steps, 1))

    def after(self, step: int, length: int) -> float:
        """Share of the peak rate at `step` of the `length` steps that follow the warm-up."""
        raise NotImplementedError


class ConstantSpec(ScheduleSpec):
    """The peak rate throughout."""

    type: Literal["constant"] = "constant"

    def after(self, step: int, length: int) -> float:
        return 1.0


class CosineSpec(ScheduleSpec):
    """Half a cosine wave down to `floor`. Source: Loshchilov & Hutter 2016, arXiv:1608.03983, equation 5."""

    type: Literal["cosine"] = "cosine"
    floor: float = Field(0.0, ge=0, le=1)
    """Share of the peak rate at the last step."""

    def after(self, step: int, length: int) -> float:
        return _wave(1.0, self.floor, step / length)


class LinearSpec(ScheduleSpec):
    """A straight line down to `floor`."""

    type: Literal["linear"] = "linear"
    floor: float = Field(0.0, ge=0, le=1)
    """Share of the peak rate at the last step."""

    def after(self, step: int, length: int) -> float:
        return self.floor + (1 - self.floor) * (1 - min(step / length, 1.0))


class InverseSpec(ScheduleSpec):
    """1 / (1 + beta · step): inverse-time decay. Source: Robbins & Monro 1951, section 2."""

    type: Literal["inverse"] = "inverse"
    beta: float = Field(1e-3, gt=0)
    """How fast: the rate is half its peak after 1 / beta steps."""

    def after(self, step: int, length: int) -> float:
        return 1 / (1 + self.beta * step)


class ExponentialSpec(ScheduleSpec):
    """gamma^step."""

    type: Literal["exponential"] = "exponential"
    gamma: float = Field(0.999, gt=0, le=1)
    """What each step leaves of the rate."""

    def after(self, step: int, length: int) -> float:
        return self.gamma**step


class StepSpec(ScheduleSpec):
    """gamma^(number of whole stretches of `every` steps): a staircase."""

    type: Literal["step"] = "step"
    every: int = Field(1000, ge=1)
    """Steps of one stair."""
    gamma: float = Field(0.1, gt=0, le=1)
    """What each stair leaves of the rate."""

    def after(self, step: int, length: int) -> float:
        return self.gamma ** (step // self.every)


class StableSpec(ScheduleSpec):
    """The peak rate, then a straight line down to `floor` (warm-up, stable, decay).

    Source: Hu et al. 2024, arXiv:2404.06395, section 4.2; the straight line: Hägele et al. 2024, arXiv:2405.18392.
    """

    type: Literal["stable"] = "stable"
    decay: float = Field(0.2, gt=0, le=1)
    """Share of the steps after the warm-up in which the rate falls."""
    floor: float = Field(0.0, ge=0, le=1)
    """Share of the peak rate at the last step."""

    def after(self, step: int, length: int) -> float:
        left = max(1 - step / length, 0.0)
        return self.floor + (1 - self.floor) * min(left / self.decay, 1.0)


class OneCycleSpec(Spec):
    """Half a cosine wave up from `start` to the peak, another down to `floor`.

    Source: Smith & Topin 2017, arXiv:1708.07120, section 3, with waves for its straight lines.
    """

    type: Literal["one_cycle"] = "one_cycle"
    rise: float = Field(0.3, gt=0, lt=1)
    """Share of the steps in which the rate rises."""
    start: float = Field(0.04, ge=0, le=1)
    """Share of the peak rate at the first step."""
    floor: float = Field(0.0, ge=0, le=1)
    """Share of the peak rate at the last step."""

    def factor(self, step: int, total: int, history: History = ()) -> float:
        """Share of the peak rate at `step` (from 0) of `total`."""
        peak = max(self.rise * total - 1, 0.0)
        if step < peak:
            return _wave(self.start, 1.0, step / peak)
        return _wave(1.0, self.floor, (step - peak) / max(total - 1 - peak, 1.0))


class PlateauSpec(ConstantSpec):
    """The rate falls to `gamma` of itself whenever the validation loss no longer falls."""

    type: Literal["plateau"] = "plateau"  # type: ignore[assignment]
    gamma: float = Field(0.1, gt=0, lt=1)
    """What each fall leaves of the rate."""
    patience: int = Field(3, ge=0)
    """Validations without a better loss that pass before a fall."""
    threshold: float = Field(1e-4, ge=0, lt=1)
    """By which share of the best loss so far a loss must be below it to count as better."""

    def factor(self, step: int, total: int, history: History = ()) -> float:
        """Share of the peak rate: the falls are counted anew from all the epochs' losses, so that none is forgotten."""
        best, waited, falls = math.inf, 0, 0
        for row in history:
            if row["valid_loss"] < best * (1 - self.threshold):
                best, waited = row["valid_loss"], 0
            elif waited < self.patience:
                waited += 1
            else:
                waited, falls = 0, falls + 1
        return super().factor(step, total) * self.gamma**falls


def _wave(start: float, end: float, share: float) -> float:
    """Half a cosine wave from `start` to `end`, at this share of its way."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


SCHEDULES: dict[str, type[Spec]] = {
    "cosine": CosineSpec,
    "constant": ConstantSpec,
    "linear": LinearSpec,
    "inverse": InverseSpec,
    "exponential": ExponentialSpec,
    "step": StepSpec,
    "stable": StableSpec,
    "one_cycle": OneCycleSpec,
    "plateau": PlateauSpec,
}

AnySchedule = one_of(SCHEDULES, "cosine")
