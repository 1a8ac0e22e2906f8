"""Numbers that are none, batches that cannot be made, and memory that is not there.

That a skipped step changes neither weights nor states, and what the policies skip, rollback and stop do, is in
tests/train/test_loop.py.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trainings

from ceiba.base.errors import CeibaError, DataError
from ceiba.batches import Batches
from ceiba.train import step

RANKS = Path(__file__).with_name("nan_on_one_rank.py")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_row_that_is_no_number(tmp_path: Path, value: float) -> None:
    data = trainings.arrays()
    numbers = data.parts["table.numbers"]
    assert isinstance(numbers, np.ndarray)
    numbers[17, 2] = value
    trained, found = trainings.training(tmp_path, data=data, augment={})
    batches = Batches(data, trainings.BATCH_ROWS, 0)
    expected = [
        epoch * trainings.PER_EPOCH + place
        for epoch in range(trainings.EPOCHS)
        for place in range(trainings.PER_EPOCH)
        if 17 in batches.rows_of(epoch, place)
    ]
    assert list(found.skipped) == expected
    assert len(expected) == trainings.EPOCHS
    assert f"{trainings.EPOCHS} of {trainings.STEPS} training steps were skipped" in found.notes[0]
    assert all(weights.isfinite().all() for weights in trained.state_dict().values())


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_one_loss_or_gradient_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    backward = step.Run.backward

    def spoiled(run: step.Run, batch: object) -> torch.Tensor:
        loss = backward(run, batch)  # type: ignore[arg-type]
        if run.at.step == 6:
            if what == "loss":
                return loss * torch.inf
            run.parameters[2].grad[0] = torch.nan  # type: ignore[index]
        return loss

    monkeypatch.setattr(step.Run, "backward", spoiled)
    trained, found = trainings.training(tmp_path)
    assert found.skipped == (6,)
    assert all(weights.isfinite().all() for weights in trained.state_dict().values())


def test_one_weight_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no step can be taken: the run ends and says so, it does not skip for ever."""
    made = trainings.model

    def spoiled() -> object:
        found = made()
        next(found.parameters()).data.view(-1)[0] = torch.nan
        return found

    monkeypatch.setattr(trainings, "model", spoiled)
    with pytest.raises(CeibaError, match=r"must be a number\. Got nan"):
        trainings.training(tmp_path)


def test_on_one_of_two_processes(tmp_path: Path) -> None:
    """A gradient that is no number in one process: both skip that step, and keep the same weights."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, str(RANKS), str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["skipped"] == second["skipped"] == [3]
    assert first["weights"] == second["weights"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """What goes wrong while a batch is made, by whomever, ends the training with its own words, at once."""
    make = Batches.make

    def failing(batches: Batches, positions: np.ndarray, *told: object, **named: object) -> object:
        if 17 in positions:
            raise DataError("people.csv row 18 must be readable", "a torn page", "Use an undamaged copy")
        return make(batches, positions, *told, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Batches, "make", failing)
    with pytest.raises(DataError, match="row 18"):
        trainings.training(tmp_path, workers=workers)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ceiba-")]


def no_memory(*_: object) -> None:
    raise torch.OutOfMemoryError("DefaultCPUAllocator: not enough memory")


@pytest.mark.parametrize("where", ["forward", "backward", "optimizer"])
def test_memory_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The error names the rows of a step, and how the same gradients can be had in less memory."""
    loss = step.Run.loss

    def spoiled(run: step.Run, *told: object) -> torch.Tensor:
        found = loss(run, *told)  # type: ignore[arg-type]
        found.register_hook(no_memory)
        return found

    if where == "backward":
        monkeypatch.setattr(step.Run, "loss", spoiled)
    if where == "optimizer":
        monkeypatch.setattr(step.Run, "_apply", no_memory)
    with pytest.raises(CeibaError) as caught:
        trainings.training(tmp_path, faults=(("memory", "forward", 9),) if where == "forward" else ())
    assert caught.value.exit_code == 1
    assert "16 rows" in str(caught.value)
    assert "train.accumulate=2" in str(caught.value)
    assert "not enough memory" in str(caught.value)


def test_a_clock_that_goes_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Durations come from a clock that cannot, and checkpoints by time too."""
    real, began = time.time, time.time()
    monkeypatch.setattr(time, "time", lambda: began - 1000 * (real() - began))
    _, found = trainings.training(tmp_path, checkpoint={"every_seconds": 1e-9, "every_steps": None})
    seconds = [row["seconds"] for row in found.history]
    assert 0 < seconds[0] <= seconds[1] <= seconds[2] == found.seconds
    assert found.rows_per_second > 0
    assert trainings.checkpoints(tmp_path)[-1].name == f"step-{trainings.STEPS - 1:09d}"
