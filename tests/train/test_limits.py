"""A training that ends by the clock: at a step, validated, the best kept, and the same after an interruption."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small import ANSWERS, IDENTITY, arrays, interrupted, model, train, weights

from ceiba.batches import AugmentSpec, Batch, Batches
from ceiba.train import Trained, TrainSpec, fit

STEP_S = 10.0


class Clock(SimpleNamespace):
    """Time that passes by batches alone."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = time = monotonic


class Timed(Batches):
    """Each batch takes some seconds."""

    def epoch(self, epoch: int, start: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for batch in super().epoch(epoch, start, share):
            Clock.now += STEP_S
            yield batch


class Slow(Timed):
    """And so does each validation."""

    def in_order(self, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        yield from super().in_order(share)
        Clock.now += 2 * STEP_S


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["ceiba.train.loop"], "time", Clock())


def timed(folder: Path, max_time: float, valid: type[Batches] = Batches, epochs: int = 4) -> Trained:
    spec = TrainSpec(epochs=epochs, batch_rows=16, augment=AugmentSpec(noise=0.1), compile=False, max_time=max_time)
    batches = Timed(arrays(100), 16, 0, spec.augment)
    return fit(model(), batches, valid(arrays(60, seed=1), 32, 0), ANSWERS, spec, folder, IDENTITY)


@pytest.mark.parametrize(
    ("max_time", "steps", "epochs"), [(1, 1, [0.1429]), (70, 7, [1]), (95, 10, [1, 1.4286]), (275, 28, [1, 2, 3, 4])]
)
def test_time_ends_a_run_at_a_step_which_is_validated(
    tmp_path: Path, max_time: float, steps: int, epochs: list[float]
) -> None:
    result = timed(tmp_path, max_time)
    assert result.steps == result.history[-1]["step"] == steps
    assert [row["epoch"] for row in result.history] == epochs
    assert 0.3 < result.history[-1]["train_loss"] < 2
    told = [note for note in result.notes if "max_time" in note]
    assert told == ([] if steps == 28 else [
        f"training ended after {steps} of 28 steps, when train.max_time ({max_time:g} s) was over; "
        f"epoch {result.best_epoch:g} was the best"
    ])  # fmt: skip
    assert not result.stopped_early


def test_the_last_validation_is_paid_from_the_time(tmp_path: Path) -> None:
    assert timed(tmp_path / "quick", 120).steps == 12
    assert timed(tmp_path / "slow", 120, Slow).steps == 8


def test_the_weights_are_those_of_as_many_steps(tmp_path: Path) -> None:
    """And a run that was interrupted before the time was over, or while it ended, ends with the same."""
    first, plain = train(tmp_path / "a", epochs=4, batches=Timed(arrays(100), 16, 0, AugmentSpec(noise=0.1)),
                         max_time=95)  # fmt: skip
    assert plain.steps == 10
    interrupted(tmp_path / "b", 4, signal.SIGTERM, max_time=1e9)
    Clock.now += 1e6  # nobody counts the time between two runs
    again, rest = train(tmp_path / "b", resume=True, max_time=50,
                        batches=Timed(arrays(100), 16, 0, AugmentSpec(noise=0.1)))  # fmt: skip
    assert rest.steps == 10, "the five steps of a run that took no time, and five more"
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in weights(first).items())


def test_steps_and_validations_need_not_be_whole_epochs(tmp_path: Path) -> None:
    _, result = train(tmp_path / "a", steps=17, validate_every=4)
    assert [row["step"] for row in result.history] == [4, 8, 12, 16, 17]
    assert [row["epoch"] for row in result.history] == [0.5714, 1.1429, 1.7143, 2.2857, 2.4286]
    assert result.best_epoch == min(result.history, key=lambda row: row["valid_loss"])["epoch"]
    _, whole = train(tmp_path / "b", steps=14, validate_every=14)
    _, plain = train(tmp_path / "c", epochs=2)
    assert [row["valid_loss"] for row in whole.history] == [plain.history[1]["valid_loss"]]
    assert whole.history[0]["train_loss"] == pytest.approx(np.mean([row["train_loss"] for row in plain.history]))


def test_patience_counts_validations(tmp_path: Path) -> None:
    _, result = train(tmp_path, steps=2000, validate_every=2, optimizer={"lr": 0.05}, patience=3)
    assert result.stopped_early
    losses = [row["valid_loss"] for row in result.history]
    assert len(losses) == losses.index(min(losses)) + 1 + 3
