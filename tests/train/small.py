"""A small training that the tests of the loop share: four numbers a row, three classes, dropout and noise."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ceiba.answers import ClassesAnswer
from ceiba.base.errors import Stopped
from ceiba.batches import AugmentSpec, Batch, Batches
from ceiba.encoders import TABLE_ENCODERS
from ceiba.fields import TableLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.train import Trained, TrainSpec, fit

NAMES = ("a", "b", "c", "d")
ANSWERS = {"y": ClassesAnswer(("no", "yes", "maybe"))}
IDENTITY = {"recipe": "r", "data": "d"}


def arrays(num_rows: int, seed: int = 0) -> Arrays:
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(num_rows, 4)).astype(np.float32)
    return Arrays(
        folder=Path(), num_rows=num_rows, parts={"table.numbers": numbers},
        targets={"y": (numbers[:, 0] > 0).astype(np.int64) + (numbers[:, 1] > 1)},
        weight=None, rows=np.arange(num_rows),
    )  # fmt: skip


def model(dropout: float = 0.2) -> Model:
    spec = ModelSpec(
        dim=16,
        encoders={"table": TABLE_ENCODERS["mlp"].model_validate({"dropout": dropout})},
        heads={"y": HEADS["classes"]()},
    )
    layout = TableLayout(names=NAMES, num_numbers=4, cardinalities=(), edges=((),) * 4)
    return build_model(spec, {"table": layout}, {"y": OutputLayout("classes", 3, (1, 1, 1))}, seed=1)


def train(folder: Path, resume: bool = False, batches: Batches | None = None, **options: Any) -> tuple[Model, Trained]:
    spec = TrainSpec.model_validate(
        {"epochs": 4, "batch_rows": 16, "augment": {"noise": 0.1}, "log_every": 3, "compile": False, **options}
    )
    trained = model()
    train_batches = batches or Batches(arrays(100), spec.batch_rows, spec.seed, spec.augment)
    valid = Batches(arrays(60, seed=1), 32, 0)
    return trained, fit(trained, train_batches, valid, ANSWERS, spec, folder, IDENTITY, resume)


def weights(trained: Model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trained.state_dict().items()}


class Interrupted(Batches):
    """Batches that send this process a signal before the given batch of all epochs."""

    def epoch(self, epoch: int, start: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for place, batch in enumerate(super().epoch(epoch, start, share), start):
            if epoch * self.per_epoch + place == self.signal_at:
                os.kill(os.getpid(), self.signal)
            yield batch

    signal_at = 0
    signal = signal.SIGTERM


def interrupted(folder: Path, at: int, number: signal.Signals, **options: Any) -> Stopped:
    batches = Interrupted(arrays(100), 16, 0, AugmentSpec(noise=0.1))
    kind = type("At", (Interrupted,), {"signal_at": at, "signal": number})
    with pytest.raises(Stopped) as caught:
        train(folder, batches=kind(batches.arrays, 16, 0, batches.augment), **options)
    return caught.value


def bad_arrays(*bad: int) -> Arrays:
    """Rows of which some hold a number that is none."""
    found = arrays(100)
    numbers = found.parts["table.numbers"]
    assert isinstance(numbers, np.ndarray)
    numbers[list(bad), 0] = np.nan
    return found


def bad_batches(*bad: int) -> Batches:
    return Batches(bad_arrays(*bad), 16, 0)
