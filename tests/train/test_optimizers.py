"""Optimizers and schedules against their equations, written out in numpy."""

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ceiba.train.optimizers import OPTIMIZERS, OptimizerSpec, bare_step, parameter_groups
from ceiba.train.schedules import SCHEDULES, ConstantSpec, CosineSpec, LinearSpec

Vector = NDArray[np.float64]
STEPS = 5


def adamw(w: Vector, gradients: list[Vector], lr: float, decay: float, decoupled: bool = True) -> Vector:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, raw in enumerate(gradients, 1):
        g = raw if decoupled else raw + decay * w
        w = w - lr * decay * w if decoupled else w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def sgd(w: Vector, gradients: list[Vector], lr: float, decay: float, nesterov: bool = False) -> Vector:
    u = np.zeros_like(w)
    for raw in gradients:
        g = raw + decay * w
        u = 0.9 * u + g
        w = w - lr * (g + 0.9 * u if nesterov else u)
    return w


def adagrad(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    s = np.zeros_like(w)
    for raw in gradients:
        g = raw + decay * w
        s = s + g**2
        w = w - lr * g / (np.sqrt(s) + 1e-10)
    return w


def rmsprop(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    v, u = np.zeros_like(w), np.zeros_like(w)
    for raw in gradients:
        g = raw + decay * w
        v = 0.99 * v + 0.01 * g**2
        u = 0.5 * u + g / (np.sqrt(v) + 1e-8)
        w = w - lr * u
    return w


CASES: list[tuple[dict[str, object], Callable[..., Vector]]] = [
    ({"type": "adamw", "lr": 0.1, "decay": 0.3}, adamw),
    ({"type": "adam", "lr": 0.1, "decay": 0.3}, lambda *a: adamw(*a, decoupled=False)),
    ({"type": "sgd", "lr": 0.1, "decay": 0.3}, sgd),
    ({"type": "sgd", "lr": 0.1, "decay": 0.3, "nesterov": True}, lambda *a: sgd(*a, nesterov=True)),
    ({"type": "adagrad", "lr": 0.1, "decay": 0.3}, adagrad),
    ({"type": "rmsprop", "lr": 0.1, "decay": 0.3, "momentum": 0.5}, rmsprop),
]


def test_every_optimizer_is_held_against_its_equation() -> None:
    assert {case[0]["type"] for case in CASES} == set(OPTIMIZERS)


@pytest.mark.parametrize(
    ("options", "equation"), CASES, ids=[f"{case['type']}-{place}" for place, (case, _) in enumerate(CASES)]
)
def test_steps_follow_the_equation(options: dict[str, object], equation: Callable[..., Vector]) -> None:
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(3, 4)), [random.normal(size=(3, 4)) for _ in range(STEPS)]
    weights = torch.nn.Parameter(torch.tensor(start))
    optimizer = TypeAdapter(OptimizerSpec).validate_python(options).build([{"params": [weights]}])
    step = bare_step(optimizer)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        step()
    expected = equation(start, gradients, options["lr"], options["decay"])
    np.testing.assert_allclose(weights.detach().numpy(), expected, rtol=1e-6)


def test_biases_and_gains_are_not_decayed() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    decayed, kept = parameter_groups(model)
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2)]  # type: ignore[attr-defined]
    assert [tuple(p.shape) for p in kept["params"]] == [(3,), (3,), (3,)]  # type: ignore[attr-defined]
    assert kept["weight_decay"] == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_warms_up_and_stays_between_zero_and_one(name: str) -> None:
    schedule = SCHEDULES[name](warmup_steps=4)
    factors = [schedule.factor(step, 20) for step in range(20)]  # type: ignore[attr-defined]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert all(0 <= factor <= 1 for factor in factors)


def test_schedules_follow_their_equations() -> None:
    assert CosineSpec().factor(5, 10) == pytest.approx((1 + math.cos(math.pi * 0.5)) / 2)
    assert CosineSpec(floor=0.1).factor(10, 10) == pytest.approx(0.1)
    assert LinearSpec(floor=0.2).factor(5, 10) == pytest.approx(0.6)
    assert ConstantSpec().factor(9, 10) == 1
    assert CosineSpec(warmup_steps=10).factor(9, 10) == 1


def test_training_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from ceiba.train.optimizers import AdamWSpec, bare_step, parameter_groups, spare_the_compiler\n"
        "spare_the_compiler(); model = torch.nn.Linear(2, 2)\n"
        "optimizer = AdamWSpec().build(parameter_groups(model)); model(torch.ones(1, 2)).sum().backward()\n"
        "bare_step(optimizer)(); optimizer.zero_grad(); optimizer.load_state_dict(optimizer.state_dict())\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
