"""Number formats: a scaled loss in float16, whose scale adapts and is kept; weights and states in bfloat16."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import CASES, DIM, KNOBS, layout_of, parts_of
from small import ANSWERS, arrays, bad_batches, interrupted, model, train, weights

from ceiba.base.errors import RecipeError
from ceiba.batches import Batch, Batches
from ceiba.encoders import ENCODERS
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import ModelSpec, build_model
from ceiba.train import TrainSpec, fit
from ceiba.train.precision import FIRST_SCALE, STEADY_STEPS, Scaler
from ceiba.train.step import Run, Settings


def run_of(precision: Any, batches: Batches | None = None, **options: Any) -> Run:
    spec = TrainSpec.model_validate({"batch_rows": 16, "accumulate": 1, **options})
    batches = batches or Batches(arrays(100), 16, 0)
    return Run(model(dropout=0), batches, batches, ANSWERS, spec, Settings(precision, accumulate=spec.accumulate))


@pytest.mark.parametrize("parts", [1, 3])
def test_gradients_of_a_scaled_loss_have_their_true_size(parts: int) -> None:
    found = []
    for precision in ("fp32", "fp16"):
        run = run_of(precision, accumulate=parts, optimizer={"type": "sgd", "lr": 1.0, "momentum": 0, "decay": 0},
                     clip_norm=None)  # fmt: skip
        before = weights(run.model)
        run.step(next(run.train.epoch(0)))
        found.append({name: value - before[name] for name, value in run.model.state_dict().items()})
    for name, step in found[0].items():
        torch.testing.assert_close(found[1][name], step, rtol=0.02, atol=2e-4)
    assert max(float(step.abs().max()) for step in found[0].values()) > 0.01


def test_small_gradients_survive_in_float16() -> None:
    """Of a loss so small that its gradients are nothing in float16, unless it is multiplied."""
    weight = torch.full((1, 1), 1.0, dtype=torch.float32, requires_grad=True)
    for scale, expected in ((1.0, 0.0), (FIRST_SCALE, 2.0**-26)):
        weight.grad = None
        loss = (weight.half().float() * 2.0**-26).sum() * scale
        loss.backward()
        assert float(weight.grad / scale) == expected


def test_the_scale_halves_after_a_bad_step_and_doubles_after_many_good_ones() -> None:
    scaler = Scaler(torch.device("cpu"))
    assert scaler.update(True) is False
    assert float(scaler.scale) == FIRST_SCALE / 2
    for _ in range(STEADY_STEPS - 1):
        scaler.update(False)
    assert float(scaler.scale) == FIRST_SCALE / 2
    scaler.update(torch.tensor(False))
    assert float(scaler.scale) == FIRST_SCALE
    for _ in range(16):
        assert not scaler.update(torch.tensor(True))
    assert float(scaler.scale) == 1
    assert scaler.update(True) is True
    assert float(scaler.scale) == 1


def test_an_overflow_is_no_failure_until_nothing_is_left_to_halve() -> None:
    run = run_of("fp16", bad_batches(*range(100)))
    batch = next(run.train.epoch(0))
    for _ in range(17):
        assert run.step(batch) == 0
    assert run.failed() == [16]
    assert run.scaler is not None
    assert float(run.scaler.scale) == 1


@pytest.mark.parametrize("precision", ["fp16", "pure_bf16"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, precision: str) -> None:
    options = {"precision": precision, "ema": 0.9, "threads": 1}
    undisturbed, whole = train(tmp_path / "whole", **options)
    interrupted(tmp_path / "cut", 9, signal.SIGTERM, **options)
    resumed, rest = train(tmp_path / "cut", resume=True, **options)
    assert [row["valid_loss"] for row in rest.history] == [row["valid_loss"] for row in whole.history]
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in weights(undisturbed).items())


@pytest.mark.parametrize("precision", ["fp16", "pure_bf16"])
def test_it_learns_as_float32_does(tmp_path: Path, precision: str) -> None:
    told: dict[str, Any] = {"epochs": 20, "optimizer": {"lr": 0.01}, "threads": 1}
    plain, other = (train(tmp_path / one, precision=one, **told)[1].history for one in ("fp32", precision))
    assert min(row["valid_loss"] for row in other) == pytest.approx(min(row["valid_loss"] for row in plain), rel=0.1)


def test_bf16_weights_halve_weights_and_states_and_are_served_in_float32(tmp_path: Path) -> None:
    run = run_of("pure_bf16", ema=0.9)
    run.step(next(run.train.epoch(0)))
    matrices = [one for one in run.parameters if one.ndim >= 2]
    assert matrices
    assert all(one.dtype == torch.bfloat16 for one in matrices)
    states = [run.optimizer.state[one]["exp_avg"].dtype for one in matrices]
    assert set(states) == {torch.bfloat16}
    assert all(value.dtype == torch.float32 for value in run.mean.values() if value.is_floating_point())
    trained, _ = train(tmp_path, epochs=1, precision="pure_bf16")
    assert {value.dtype for value in trained.state_dict().values() if value.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.parametrize("precision", ["fp16", "pure_bf16"])
def test_every_encoder_takes_a_step(kind: str, name: str, precision: Any) -> None:
    if (precision, name) == ("fp16", "lstm"):
        pytest.skip("torch has no LSTM in float16 for this processor; the next test tells what a user is told")
    layout = layout_of(kind, name)
    spec = ModelSpec(
        dim=DIM, encoders={"x": ENCODERS[kind][name](**KNOBS.get((kind, name), {}))}, heads={"y": "classes"}
    )
    network = build_model(spec, {"x": layout}, {"y": OutputLayout("classes", 3, (1, 1, 1))})
    inputs = {f"x.{part}": value for part, value in parts_of(layout, rows=6).items()}
    batch = Batch(inputs, {"y": torch.tensor([0, 1, 2, 0, 1, 2])}, None, np.arange(6))
    batches = Batches(arrays(100), 16, 0)
    run = Run(network, batches, batches, ANSWERS, TrainSpec(optimizer={"lr": 0.1}), Settings(precision))
    before = weights(network)
    for _ in range(20):  # float16 may halve its scale first
        run.step(batch)
    assert run.failed() == []
    now = network.state_dict()
    assert all(value.isfinite().all() for name, value in now.items() if "edges" not in name)
    moved = [name for name, _ in network.named_parameters() if not torch.equal(now[name], before[name])]
    assert len(moved) > len(list(network.parameters())) / 2


def test_an_lstm_in_float16_needs_an_accelerator(tmp_path: Path) -> None:
    spec = ModelSpec(dim=DIM, encoders={"x": ENCODERS["text"]["lstm"]()}, heads={"y": HEADS["classes"]()})
    network = build_model(spec, {"x": layout_of("text", "lstm")}, {"y": OutputLayout("classes", 3, (1, 1, 1))})
    batches = Batches(arrays(100), 16, 0)
    with pytest.raises(RecipeError, match="must not be fp16 for an LSTM on a processor"):
        fit(network, batches, batches, ANSWERS, TrainSpec(precision="fp16", device="cpu"), tmp_path, {})


def test_the_loss_of_a_step_whose_gradient_overflows_counts() -> None:
    run = run_of("fp16")
    assert run.scaler is not None
    run.scaler.scale = torch.tensor(2.0**120)
    before = weights(run.model)
    assert 0.5 < float(run.step(next(run.train.epoch(0)))) < 2
    assert float(run.scaler.scale) == 2.0**119
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in before.items())
