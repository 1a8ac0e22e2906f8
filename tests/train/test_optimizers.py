"""Optimizers against their equations, written out in numpy."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from small import ANSWERS, arrays, model

from ceiba.batches import Batches
from ceiba.train import TrainSpec
from ceiba.train.checkpoint import snapshot
from ceiba.train.optimizers import OPTIMIZERS, OptimizerSpec, bare_step, parameter_groups
from ceiba.train.step import Run

Vector = NDArray[np.float64]
STEPS = 8


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


def adamax(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    m, u = np.zeros_like(w), np.zeros_like(w)
    for t, raw in enumerate(gradients, 1):
        g = raw + decay * w
        m, u = 0.9 * m + 0.1 * g, np.maximum(0.999 * u, np.abs(g) + 1e-8)
        w = w - lr * m / (1 - 0.9**t) / u
    return w


def nadam(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    m, v = np.zeros_like(w), np.zeros_like(w)
    rates = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in range(1, len(gradients) + 2)]
    for t, raw in enumerate(gradients, 1):
        g = raw + decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        ahead = rates[t] * m / (1 - np.prod(rates[: t + 1])) + (1 - rates[t - 1]) * g / (1 - np.prod(rates[:t]))
        w = w - lr * ahead / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def radam(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    m, v, most = np.zeros_like(w), np.zeros_like(w), 2 / (1 - 0.999) - 1
    for t, raw in enumerate(gradients, 1):
        g = raw + decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        length = most - 2 * t * 0.999**t / (1 - 0.999**t)
        step = m / (1 - 0.9**t)
        if length > 5:
            correction = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            step = step * np.sqrt(correction * (1 - 0.999**t)) / (np.sqrt(v) + 1e-8)
        w = w - lr * step
    return w


def adadelta(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    v, s = np.zeros_like(w), np.zeros_like(w)
    for raw in gradients:
        g = raw + decay * w
        v = 0.9 * v + 0.1 * g**2
        d = g * np.sqrt(s + 1e-6) / np.sqrt(v + 1e-6)
        s = 0.9 * s + 0.1 * d**2
        w = w - lr * d
    return w


def rms(values: Vector) -> float:
    return float(np.sqrt(np.mean(values**2)))


def adafactor(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    rows, columns = np.zeros((w.shape[0], 1)), np.zeros((1, w.shape[1]))
    for t, g in enumerate(gradients, 1):
        kept = 1 - t**-0.8
        rows = kept * rows + (1 - kept) * (g**2).mean(1, keepdims=True)
        columns = kept * columns + (1 - kept) * (g**2).mean(0, keepdims=True)
        u = g / np.sqrt(rows @ columns / rows.mean())
        size = max(1e-3, rms(w)) * min(lr, t**-0.5)
        w = w - lr * decay * w - size * u / max(1.0, rms(u))
    return w


def rprop(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    before, s = np.zeros_like(w), np.full_like(w, lr)
    for g in gradients:
        turned = g * before < 0
        s = np.where(turned, 0.5 * s, np.where(g * before > 0, 1.2 * s, s))
        before = np.where(turned, 0.0, g)
        w = w - s * np.sign(before)
    return w


def orthogonal(matrix: Vector) -> Vector:
    """Five rounds of the quintic Newton-Schulz iteration."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def muon(w: Vector, gradients: list[Vector], lr: float, decay: float) -> Vector:
    u = np.zeros_like(w)
    for g in gradients:
        u = 0.95 * u + 0.05 * g
        w = w - lr * decay * w - lr * 0.2 * np.sqrt(max(w.shape)) * orthogonal(0.05 * g + 0.95 * u)
    return w


CASES: list[tuple[dict[str, object], Callable[..., Vector]]] = [
    ({"type": "adamw", "lr": 0.1, "decay": 0.3}, adamw),
    ({"type": "adam", "lr": 0.1, "decay": 0.3}, lambda *a: adamw(*a, decoupled=False)),
    ({"type": "sgd", "lr": 0.1, "decay": 0.3}, sgd),
    ({"type": "sgd", "lr": 0.1, "decay": 0.3, "nesterov": True}, lambda *a: sgd(*a, nesterov=True)),
    ({"type": "muon", "lr": 0.1, "decay": 0.3}, muon),
    ({"type": "adagrad", "lr": 0.1, "decay": 0.3}, adagrad),
    ({"type": "rmsprop", "lr": 0.1, "decay": 0.3, "momentum": 0.5}, rmsprop),
    ({"type": "adadelta", "lr": 0.5, "decay": 0.3}, adadelta),
    ({"type": "adamax", "lr": 0.1, "decay": 0.3}, adamax),
    ({"type": "nadam", "lr": 0.1, "decay": 0.3}, nadam),
    ({"type": "radam", "lr": 0.1, "decay": 0.3}, radam),
    ({"type": "adafactor", "lr": 0.1, "decay": 0.3}, adafactor),
    ({"type": "rprop", "lr": 0.1}, rprop),
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
    spec = TypeAdapter(OptimizerSpec).validate_python(options)
    optimizer = spec.build([{"params": [weights], "matrices": 1}], spec.lr)
    step = bare_step(optimizer)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        step()
    expected = equation(start, gradients, options["lr"], options.get("decay"))
    # Muon makes its steps orthogonal in bf16, whose eight bits tell 1 from 1.004; each is some 0.04 long.
    atol = 0.005 if options["type"] == "muon" else 0.0
    np.testing.assert_allclose(weights.detach().numpy(), expected, rtol=1e-6, atol=atol)


def small_model() -> torch.nn.ModuleDict:
    torch.manual_seed(0)
    parts = {"embedding": torch.nn.Embedding(4, 3), "dense": torch.nn.Linear(3, 2), "heads": torch.nn.Linear(2, 1)}
    return torch.nn.ModuleDict({**parts, "heads": torch.nn.ModuleList([parts["heads"]])})


def learn(model: torch.nn.ModuleDict, optimizer: torch.optim.Optimizer, steps: range) -> None:
    step = bare_step(optimizer)
    for place in steps:
        generator = torch.Generator().manual_seed(place)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + place)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_bit_for_bit_from_its_saved_state(name: str) -> None:
    spec = OPTIMIZERS[name]()
    whole, cut = small_model(), small_model()
    learn(whole, spec.build(parameter_groups(whole), spec.lr), range(6))  # type: ignore[attr-defined]
    first = spec.build(parameter_groups(cut), spec.lr)  # type: ignore[attr-defined]
    learn(cut, first, range(3))
    second = spec.build(parameter_groups(cut), spec.lr)  # type: ignore[attr-defined]
    state = {place: {key: torch.as_tensor(value).clone() for key, value in values.items()}
             for place, values in first.state_dict()["state"].items()}  # fmt: skip
    second.load_state_dict({"state": state, "param_groups": second.state_dict()["param_groups"]})
    learn(cut, second, range(3, 6))
    for one, other in zip(whole.parameters(), cut.parameters(), strict=True):
        assert torch.equal(one, other)


def test_muon_takes_the_dense_layers_before_the_heads_and_adamw_the_rest() -> None:
    muon, adamw = small_model(), small_model()
    for one, name in ((muon, "muon"), (adamw, "adamw")):
        learn(one, OPTIMIZERS[name]().build(parameter_groups(one), 0.01), range(2))  # type: ignore[attr-defined]
    other = dict(adamw.named_parameters())
    assert {name for name, value in muon.named_parameters() if not torch.equal(value, other[name])} == {"dense.weight"}


def test_biases_and_gains_are_not_decayed() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    decayed, kept = parameter_groups(model)
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2)]  # type: ignore[attr-defined]
    assert [tuple(p.shape) for p in kept["params"]] == [(3,), (3,), (3,)]  # type: ignore[attr-defined]
    assert kept["weight_decay"] == 0


def test_training_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from ceiba.train.optimizers import OPTIMIZERS, bare_step, parameter_groups, spare_the_compiler\n"
        "spare_the_compiler(); model = torch.nn.Linear(2, 2)\n"
        "for spec in OPTIMIZERS.values():\n"
        "    optimizer = spec().build(parameter_groups(model), 0.01); model(torch.ones(1, 2)).sum().backward()\n"
        "    bare_step(optimizer)(); optimizer.zero_grad(); optimizer.load_state_dict(optimizer.state_dict())\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_on_an_accelerator_a_bad_step_changes_nothing_and_nobody_waits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the finite check's answer stays a tensor, which nobody may ask."""
    batches = Batches(arrays(100), 16, 0)
    spec = TrainSpec.model_validate({"optimizer": name, "batch_rows": 16})
    run, twin = (Run(model(dropout=0), batches, batches, ANSWERS, spec) for _ in range(2))
    for batch in batches.epoch(0):
        run.step(batch)
        twin.step(batch)

    def held(one: Run) -> list[torch.Tensor]:
        tensors = [*one.model.state_dict().values(), *snapshot({}, one.optimizer)["optimizer"].values()]
        return [value.clone() for value in tensors]

    def give(value: float) -> None:
        for one in (*run.parameters, *twin.parameters):
            one.grad = torch.full_like(one, value)

    def asked(tensor: torch.Tensor) -> bool:
        raise AssertionError("waited for the device")

    before = held(run)
    give(torch.nan)
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "__bool__", asked)
        run._apply(torch.tensor(True))
    assert all(torch.equal(now, old) for now, old in zip(held(run), before, strict=True))
    give(0.01)
    run._apply(torch.tensor(False))
    twin._apply(False)
    assert all(torch.equal(one, other) for one, other in zip(held(run), held(twin), strict=True))
    assert not all(torch.equal(now, old) for now, old in zip(held(run), before, strict=True))
