"""Schedules against torch's where it has them, else against their equations."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torchs

from ceiba.train.schedules import SCHEDULES, AnySchedule

TOTAL = 50
REFERENCES: list[tuple[dict[str, object], Callable[[Optimizer], torchs.LRScheduler]]] = [
    ({"type": "constant"}, lambda o: torchs.ConstantLR(o, 1.0)),
    ({"type": "cosine", "floor": 0.1}, lambda o: torchs.CosineAnnealingLR(o, TOTAL, 0.1)),
    ({"type": "linear", "floor": 0.2}, lambda o: torchs.LinearLR(o, 1.0, 0.2, TOTAL)),
    ({"type": "exponential", "gamma": 0.9}, lambda o: torchs.ExponentialLR(o, 0.9)),
    ({"type": "step", "every": 7, "gamma": 0.5}, lambda o: torchs.StepLR(o, 7, 0.5)),
    ({"type": "inverse", "beta": 0.3}, lambda o: torchs.LambdaLR(o, lambda t: 1 / (1 + 0.3 * t))),
    (
        {"type": "stable", "decay": 0.4, "floor": 0.1},
        lambda o: torchs.SequentialLR(o, [torchs.ConstantLR(o, 1.0), torchs.LinearLR(o, 1.0, 0.1, 20)], [30]),
    ),
    (
        {"type": "one_cycle", "rise": 0.3, "start": 0.1, "floor": 0.001},
        lambda o: torchs.OneCycleLR(o, 1.0, TOTAL, div_factor=10, final_div_factor=100, cycle_momentum=False),
    ),
]


def schedule(options: dict[str, object]) -> object:
    return TypeAdapter(AnySchedule).validate_python(options)


def optimizer() -> Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 1.0)


def test_every_schedule_has_a_reference() -> None:
    assert {options["type"] for options, _ in REFERENCES} | {"plateau"} == set(SCHEDULES)


@pytest.mark.parametrize(("options", "reference"), REFERENCES, ids=[str(options["type"]) for options, _ in REFERENCES])
def test_a_schedule_is_torchs(options: dict[str, object], reference: Callable[[Optimizer], torchs.LRScheduler]) -> None:
    one = optimizer()
    scheduler, expected = reference(one), []
    for _ in range(TOTAL):
        expected.append(one.param_groups[0]["lr"])
        one.step()
        scheduler.step()
    found = [schedule(options).factor(step, TOTAL) for step in range(TOTAL)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - {"one_cycle"}))
def test_a_schedule_warms_up_and_then_runs_its_course(name: str) -> None:
    warm = [schedule({"type": name, "warmup_steps": 4}).factor(step, 24) for step in range(24)]  # type: ignore[attr-defined]
    assert warm[:4] == [0.25, 0.5, 0.75, 1.0]
    assert warm[4:] == [schedule({"type": name}).factor(step, 20) for step in range(20)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3, 1000])
def test_a_factor_is_between_zero_and_one_for_runs_of_any_length(name: str, total: int) -> None:
    factors = [schedule({"type": name}).factor(step, total) for step in range(total)]  # type: ignore[attr-defined]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0


@pytest.mark.parametrize("patience", [0, 2])
@pytest.mark.parametrize("threshold", [0.0, 0.05])
def test_plateau_is_torchs(patience: int, threshold: float) -> None:
    random = np.random.default_rng(patience)
    losses = 1 / (1 + np.arange(40)) + 0.1 * random.random(40)
    one = optimizer()
    scheduler = torchs.ReduceLROnPlateau(one, "min", 0.5, patience, threshold, eps=0.0)
    own = schedule({"type": "plateau", "gamma": 0.5, "patience": patience, "threshold": threshold})
    history: list[dict[str, float]] = []
    factors = []
    for epoch, loss in enumerate(losses):
        scheduler.step(float(loss))
        history.append({"epoch": epoch, "valid_loss": float(loss)})
        factors.append(own.factor(10 * epoch, 400, history))  # type: ignore[attr-defined]
        # A factor is the same from a history that was written to a checkpoint and read again.
        assert factors[-1] == own.factor(10 * epoch, 400, json.loads(json.dumps(history)))  # type: ignore[attr-defined]
        assert factors[-1] == pytest.approx(one.param_groups[0]["lr"])
    assert len(set(factors)) > 3
