"""The learning rate left to auto: found once, before step 1, kept with the run, and told with its curve."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small import ANSWERS, arrays, interrupted, model, train, weights

from ceiba.batches import Batches
from ceiba.studies import train as train_recipe
from ceiba.train import TrainSpec
from ceiba.train.optimizers import OPTIMIZERS, own_rate
from ceiba.train.rate import SHARE, choice, find_rate
from ceiba.train.step import Run


def run_of(optimizer: dict[str, object], seed: int = 0) -> Run:
    spec = TrainSpec.model_validate({"batch_rows": 16, "optimizer": optimizer})
    batches = Batches(arrays(100), 16, seed)
    return Run(model(), batches, batches, ANSWERS, spec)


def test_the_choice_is_a_share_of_the_rate_of_the_least_loss() -> None:
    rates = np.logspace(-5, 1, 100)
    random = np.random.default_rng(0)
    losses = (np.log10(rates) + 2) ** 2 + random.normal(0, 0.3, 100)  # least at 0.01, and noise
    assert choice(list(zip(rates.tolist(), losses.tolist(), strict=True))) == pytest.approx(0.01 * SHARE, rel=1)
    assert choice([(0.8, 1.0)]) == 0.8 * SHARE


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("rprop", "adafactor")])
def test_what_is_found_learns_better_than_far_smaller_and_far_larger_rates(name: str) -> None:
    """For every optimizer, whose rates are of very different sizes."""
    found, curve = find_rate(run_of({"type": name, "lr": "auto"}), Batches(arrays(100), 16, 0))
    assert 10 < len(curve) <= 100
    losses = {}
    for factor in (0.1, 1, 100):
        run = run_of({"type": name, "lr": found * factor})
        for epoch in range(5):
            for batch in run.train.epoch(epoch):
                run.step(batch, found * factor)
        run.model.eval()
        with torch.inference_mode():
            batch = Batches(arrays(400, seed=3), 400, 0).largest()
            losses[factor] = float(run.loss(batch))
    assert losses[1] < losses[0.1]
    assert losses[1] < losses[100]


def test_a_test_changes_nothing_and_is_the_same_twice(tmp_path: Path) -> None:
    first, one = train(tmp_path / "a", optimizer={"lr": "auto"})
    again, other = train(tmp_path / "b", optimizer={"lr": "auto"})
    told, _ = train(tmp_path / "c", optimizer={"lr": one.settings["lr"]})
    assert one.settings["lr"] == other.settings["lr"] != own_rate(TrainSpec().optimizer)
    assert one.settings["lr_curve"] == other.settings["lr_curve"]
    for name, value in weights(first).items():
        assert torch.equal(value, again.state_dict()[name])
        assert torch.equal(value, told.state_dict()[name])


def test_a_run_that_goes_on_tests_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, whole = train(tmp_path / "whole", optimizer={"lr": "auto"})
    interrupted(tmp_path / "cut", 9, signal.SIGTERM, optimizer={"lr": "auto"})
    monkeypatch.setattr(sys.modules["ceiba.train.auto"], "find_rate", None)
    resumed, rest = train(tmp_path / "cut", resume=True, optimizer={"lr": "auto"})
    assert rest.settings["lr"] == whole.settings["lr"]
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in weights(undisturbed).items())


def test_the_bundle_tells_the_rate_and_its_curve(tmp_path: Path) -> None:
    """And its recipe, which gives the same weights again, has the number in place of the word."""
    random = np.random.default_rng(0)
    table = {"a": random.normal(size=200).tolist(), "b": random.normal(size=200).tolist()}
    table["y"] = ["yes" if a + b > 0 else "no" for a, b in zip(table["a"], table["b"], strict=True)]
    lines = ["a,b,y", *(f"{a},{b},{y}" for a, b, y in zip(*table.values(), strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    recipe = {
        "data": {"train": str(tmp_path / "rows.csv")}, "outputs": {"y": "binary"}, "evaluate": {"baselines": False},
        "train": {"epochs": 2, "batch_rows": 32, "optimizer": {"lr": "auto"}},
    }  # fmt: skip
    train_recipe(recipe, tmp_path / "run")
    bundle = tmp_path / "run/bundle"
    settings = json.loads((bundle / "report.json").read_text())["cost"]["settings"]
    assert settings["lr"] == choice([tuple(point) for point in settings["lr_curve"]])
    assert f"lr: {settings['lr']:g}" in (bundle / "recipe.yaml").read_text()
    train_recipe(bundle / "recipe.yaml", tmp_path / "again")
    name = "bundle/weights.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
