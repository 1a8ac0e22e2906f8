"""What keeps weights and gradients small, and means of the weights, one step at a time against their equations."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ceiba.answers import NumberAnswer
from ceiba.base.errors import RecipeError
from ceiba.batches import Batches
from ceiba.encoders import TABLE_ENCODERS
from ceiba.fields import TableLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.recipe import read_recipe
from ceiba.train import TrainSpec
from ceiba.train.step import Run

PLAIN = {"optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0, "decay": 0}, "schedule": "constant", "clip_norm": None}
EPOCHS = 5


def run_of(edges: tuple[float, ...] = (), **options: Any) -> Run:
    random = np.random.default_rng(0)
    numbers = random.normal(size=(32, 3)).astype(np.float32)
    arrays = Arrays(
        folder=Path(), num_rows=32, parts={"table.numbers": numbers}, targets={"y": 3 * numbers[:, 0]},
        weight=None, rows=np.arange(32),
    )  # fmt: skip
    table = TABLE_ENCODERS["mlp"](numbers="piecewise") if edges else TABLE_ENCODERS["linear"]()
    spec = ModelSpec(dim=4, encoders={"table": table}, heads={"y": HEADS["regression"]()})
    layout = TableLayout(names=("a", "b", "c"), num_numbers=3, cardinalities=(), edges=(edges,) * 3)
    model = build_model(spec, {"table": layout}, {"y": OutputLayout("number")}, seed=1)
    batches = Batches(arrays, 16, 0)
    told = TrainSpec.model_validate({"epochs": EPOCHS, "batch_rows": 16, "threads": 1, **PLAIN, **options})
    return Run(model, batches, batches, {"y": NumberAnswer(0.0, 1.0)}, told)


def weights(run: Run) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def stepped(run: Run, count: int = 1) -> list[Tensor]:
    """The weights before and after each of some steps."""
    seen = [weights(run)]
    for epoch in range(EPOCHS):
        for batch in run.train.epoch(epoch):
            if len(seen) <= count:
                run.step(batch)
                seen.append(weights(run))
    return seen


def test_l2_pulls_each_weight_by_twice_itself() -> None:
    start, plain = stepped(run_of())
    _, pulled = stepped(run_of(l2=0.3))
    torch.testing.assert_close(pulled, plain - 0.1 * 0.3 * 2 * start)


def test_clip_value_bounds_each_value_of_the_gradient() -> None:
    start, plain = stepped(run_of())
    gradient = (start - plain) / 0.1
    limit = float(gradient.abs().median())
    _, clipped = stepped(run_of(clip_value=limit))
    torch.testing.assert_close(clipped, start - 0.1 * gradient.clamp(-limit, limit))


@pytest.mark.parametrize("share", [0.5, 0.999, 1.001, 2.0])
def test_clip_norm_shortens_a_gradient_that_is_longer(share: float) -> None:
    start, plain = stepped(run_of())
    gradient = (start - plain) / 0.1
    _, clipped = stepped(run_of(clip_norm=share * float(gradient.norm())))
    torch.testing.assert_close(clipped, start - 0.1 * gradient * min(share, 1))
    assert (share > 1) == bool((clipped == plain).all()), "one that is shorter stays the same to the last bit"


@pytest.mark.parametrize(("share", "first"), [(0.0, 0), (0.45, 4), (0.9, 9)])
def test_swa_is_the_plain_mean_of_the_weights_since_its_beginning(share: float, first: int) -> None:
    run = run_of(swa_from=share)
    assert run.total == 2 * EPOCHS
    seen = stepped(run, first)
    kept = [run.mean[name] for name, _ in run.model.named_parameters()]
    torch.testing.assert_close(torch.cat([one.flatten() for one in kept]), seen[-1])
    run = run_of(swa_from=share)
    seen = stepped(run, run.total)
    kept = [run.mean[name] for name, _ in run.model.named_parameters()]
    torch.testing.assert_close(torch.cat([one.flatten() for one in kept]), torch.stack(seen[first + 1 :]).mean(0))


@pytest.mark.parametrize("options", [{"ema": 0.9}, {"swa_from": 0.0}])
def test_the_endless_bins_of_numbers_have_a_mean(options: dict[str, Any]) -> None:
    run = run_of((-1.0, 0.0, 1.0), **options)
    stepped(run, 3)
    endless = {name for name, value in run.model.state_dict().items() if value.isinf().any()}
    assert endless == run.fixed
    assert len(endless) == 2
    assert not any(value.isnan().any() for value in run.mean.values())


def test_there_is_one_mean_of_the_weights() -> None:
    with pytest.raises(RecipeError, match="train must not hold both ema and swa_from"):
        read_recipe({"data": {"train": "x.csv"}, "outputs": {"y": "number"}, "train": {"ema": 0.9, "swa_from": 0.5}})
