"""Schedules: step → share of the peak learning rate. Pure functions of the step, so that nothing needs saving."""

import math
from typing import Literal

from pydantic import Field

from ceiba.base.spec import Spec, one_of


class ScheduleSpec(Spec):
    """Base of schedules: a linear warm-up, then `after`."""

    warmup_steps: int = Field(0, ge=0)
    """Steps over which the rate rises linearly from zero."""

    def factor(self, step: int, total: int) -> float:
        """Share of the peak rate at `step` (from 0) of `total`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        length = max(total - self.warmup_steps, 1)
        return self.after((step - self.warmup_steps) / length)

    def after(self, share: float) -> float:
        """Share of the peak rate after this share of the steps that follow the warm-up."""
        raise NotImplementedError


class ConstantSpec(ScheduleSpec):
    """The peak rate throughout."""

    type: Literal["constant"] = "constant"

    def after(self, share: float) -> float:
        return 1.0


class CosineSpec(ScheduleSpec):
    """Half a cosine wave down to `floor`. Source: Loshchilov & Hutter 2016, arXiv:1608.03983, equation 5."""

    type: Literal["cosine"] = "cosine"
    floor: float = Field(0.0, ge=0, le=1)
    """Share of the peak rate at the last step."""

    def after(self, share: float) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


class LinearSpec(ScheduleSpec):
    """A straight line down to `floor`."""

    type: Literal["linear"] = "linear"
    floor: float = Field(0.0, ge=0, le=1)
    """Share of the peak rate at the last step."""

    def after(self, share: float) -> float:
        return self.floor + (1 - self.floor) * (1 - min(share, 1.0))


SCHEDULES: dict[str, type[Spec]] = {"cosine": CosineSpec, "constant": ConstantSpec, "linear": LinearSpec}

AnySchedule = one_of(SCHEDULES, "cosine")
