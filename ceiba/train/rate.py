"""The learning rate left to `auto`: a range test before the first step.

From step to step of a copy of the run the rate rises evenly on a logarithmic scale, until the loss has blown up. The
schedule's peak is a fixed share of the rate at which the loss was least: near that rate, steps are already too long.
Source: Smith 2015, arXiv:1506.01186, section 3.3.
"""

from collections.abc import Iterator
from itertools import count

import numpy as np

from ceiba.batches import Batch, Batches
from ceiba.train.optimizers import own_rate
from ceiba.train.step import Run

Curve = list[tuple[float, float]]
"""(rate, loss) of each step."""

STEPS = 100
LOW, HIGH = 1e-3, 1e3
"""Ends of the range, as factors of the optimizer's own default rate."""
BLOWN = 4.0
"""A loss so many times the first ends the test."""
WINDOW = 9
"""Steps over which the loss is smoothed: half a power of ten."""
SHARE = 0.25
"""Of the rate at which the loss was least."""


def find_rate(run: Run, batches: Batches) -> tuple[float, Curve]:
    """A peak for the learning rate, and the test's curve; `run` is spent.

    Where every rate of the range gives losses that are no numbers, the optimizer's own default.
    """
    default = own_rate(run.spec.optimizer)
    curve = range_test(run, endless(batches), default * LOW, default * HIGH)
    return (choice(curve) if curve else default), curve


def range_test(run: Run, batches: Iterator[Batch], low: float, high: float, steps: int = STEPS) -> Curve:
    """(rate, loss) of each step while the rate rises from `low` to `high`, or until the loss has blown up."""
    curve: Curve = []
    for place, batch in zip(range(steps), batches, strict=False):
        rate = low * (high / low) ** (place / (steps - 1))
        loss = float(run.step(batch, rate))
        if run.failed() or (curve and loss > BLOWN * abs(curve[0][1])):
            break
        curve.append((rate, loss))
    return curve


def choice(curve: Curve) -> float:
    """A share of the rate at which the smoothed loss is least."""
    rates, losses = (np.array(side) for side in zip(*curve, strict=True))
    near = np.abs(np.subtract.outer(np.arange(len(losses)), np.arange(len(losses)))) <= WINDOW // 2
    smoothed = near @ losses / near.sum(1)
    return float(f"{SHARE * rates[smoothed.argmin()]:.2g}")


def endless(batches: Batches) -> Iterator[Batch]:
    """Epoch after epoch."""
    for epoch in count():
        yield from batches.epoch(epoch)
