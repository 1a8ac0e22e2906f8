"""The loop: it learns, keeps the best, stops on request, and goes on bit for bit."""

import errno
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import ANSWERS, IDENTITY, Interrupted, arrays, bad_batches, interrupted, model, train, weights

from ceiba.base.errors import CeibaError, InputError, Stopped
from ceiba.batches import AugmentSpec, Batch, Batches
from ceiba.train import TrainSpec, fit
from ceiba.train.checkpoint import snapshot
from ceiba.train.folder import run_folder
from ceiba.train.spec import CheckpointSpec
from ceiba.train.step import Run


def test_it_learns_and_is_the_same_twice(tmp_path: Path) -> None:
    first, result = train(tmp_path / "a", epochs=30, optimizer={"lr": 0.01})
    second, _ = train(tmp_path / "b", epochs=30, optimizer={"lr": 0.01})
    assert result.history[-1]["valid_y_accuracy"] > 0.85
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in weights(first).items())


@pytest.mark.parametrize("at", [0, 5, 6, 7, 20])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema": 0.9},
        {"swa_from": 0.4, "optimizer": "muon", "schedule": {"type": "plateau", "patience": 0}},
        {"steps": 25, "validate_every": 10},
    ],
    ids=["plain", "ema", "swa, muon and plateau", "steps"],
)
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, at: int, options: dict[str, Any]) -> None:
    undisturbed, whole = train(tmp_path / "whole", **options)
    error = interrupted(tmp_path / "cut", at, signal.SIGTERM, **options)
    assert error.exit_code == 143
    resumed, rest = train(tmp_path / "cut", resume=True, **options)
    assert rest.steps == whole.steps == options.get("steps", 28)
    for name, value in weights(undisturbed).items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [row["valid_loss"] for row in rest.history] == [row["valid_loss"] for row in whole.history]
    assert [row["train_loss"] for row in rest.history] == [row["train_loss"] for row in whole.history]


@pytest.mark.parametrize("workers", [(1, 1), (3, 0), (0, 2)])
def test_threads_that_make_batches_change_no_bit(tmp_path: Path, workers: tuple[int, int]) -> None:
    """Nor does another number of them after an interruption."""
    undisturbed, _ = train(tmp_path / "whole", workers=0)
    interrupted(tmp_path / "cut", 10, signal.SIGTERM, workers=workers[0])
    resumed, _ = train(tmp_path / "cut", resume=True, workers=workers[1])
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in weights(undisturbed).items())


def test_ctrl_c_has_its_own_exit_code(tmp_path: Path) -> None:
    assert interrupted(tmp_path, 3, signal.SIGINT).exit_code == 130


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    undisturbed, _ = train(tmp_path / "whole")
    interrupted(tmp_path / "cut", 3, signal.SIGTERM)
    kind = type("At", (Interrupted,), {"signal_at": 9, "signal": signal.SIGTERM})
    batches = kind(arrays(100), 16, 0, AugmentSpec(noise=0.1))
    with pytest.raises(Stopped):
        train(tmp_path / "cut", resume=True, batches=batches)
    newest = sorted((tmp_path / "cut/checkpoints").glob("step-*"))[-1] / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    resumed, result = train(tmp_path / "cut", resume=True)
    assert "Damaged checkpoint" in capsys.readouterr().err
    assert [note.startswith("Damaged checkpoint passed over") for note in result.notes] == [True]
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in weights(undisturbed).items())


def test_resuming_needs_a_checkpoint_of_the_same_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold a checkpoint"):
        train(tmp_path, resume=True)
    interrupted(tmp_path, 3, signal.SIGTERM)
    spec = TrainSpec(epochs=4, batch_rows=16)
    batches = Batches(arrays(100), 16, 0)
    with pytest.raises(InputError, match="another data"):
        fit(model(), batches, batches, ANSWERS, spec, tmp_path, {"recipe": "r", "data": "other"}, resume=True)


def test_the_best_epoch_is_kept_and_patience_ends_the_run(tmp_path: Path) -> None:
    trained, result = train(tmp_path, epochs=200, optimizer={"lr": 0.05}, patience=3)
    losses = [row["valid_loss"] for row in result.history]
    assert result.stopped_early
    assert result.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == result.best_epoch + 3
    trained.eval()
    data = arrays(60, seed=1)
    with torch.inference_mode():
        loss, _ = trained.loss(
            {"table.numbers": torch.from_numpy(data.parts["table.numbers"])}, {"y": torch.from_numpy(data.targets["y"])}
        )
    assert float(loss) == pytest.approx(min(losses), rel=1e-5)


def test_the_log_and_the_events_are_written(tmp_path: Path) -> None:
    train(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"step", "time", "train_loss", "lr"} <= set(lines[0])
    assert [line["epoch"] for line in lines if "epoch" in line] == [1, 2, 3, 4]
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    (path,) = (tmp_path / "events").iterdir()
    events = list(loader.LegacyEventFileLoader(str(path)).Load())
    assert events[0].file_version == "brain.Event:2"
    read = [{"step": event.step} | {one.tag: one.simple_value for one in event.summary.value} for event in events[1:]]
    written = [{name: value for name, value in line.items() if name != "time"} for line in lines]
    assert read == [pytest.approx(line, rel=1e-6) for line in written]
    assert all(0 <= time.time() - event.wall_time < 600 for event in events)


@pytest.mark.parametrize("log_every", [1, 10_000], ids=["at a log line", "at the end of an epoch"])
def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path, log_every: int) -> None:
    with pytest.raises(CeibaError, match="must be a number"):
        train(tmp_path, optimizer={"type": "sgd", "lr": 1e30}, clip_norm=None, epochs=50, log_every=log_every)


def test_l1_makes_weights_small(tmp_path: Path) -> None:
    plain, _ = train(tmp_path / "a", epochs=20)
    sparse, _ = train(tmp_path / "b", epochs=20, l1=0.05)
    total = [sum(float(value.abs().sum()) for value in weights(one).values()) for one in (plain, sparse)]
    assert total[1] < 0.8 * total[0]


def test_full_batch_stochastic_and_mini_batch_are_one_setting(tmp_path: Path) -> None:
    for place, (batch_rows, steps) in enumerate([(100, 4), (1, 400), (16, 28)]):
        _, result = train(tmp_path / str(place), batch_rows=batch_rows)
        assert result.steps == steps


def test_the_folder_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_folder("adult", None, False) == Path("runs/adult")
    Path("runs/adult").mkdir(parents=True)
    assert run_folder("adult", None, False) == Path("runs/adult-2")
    assert run_folder("adult", "runs/adult", False) == Path("runs/adult")
    (tmp_path / "runs/adult/checkpoints/step-000000001").mkdir(parents=True)
    with pytest.raises(InputError, match="--resume"):
        run_folder("adult", "runs/adult", False)
    assert run_folder("adult", "runs/adult", True) == Path("runs/adult")
    (tmp_path / "runs/adult/bundle").mkdir()
    with pytest.raises(InputError, match="finished run"):
        run_folder("adult", "runs/adult", True)
    with pytest.raises(InputError, match="--out"):
        run_folder("adult", None, True)


def steps_with(rows: tuple[int, ...], batches: Batches, epochs: int) -> list[int]:
    return [
        epoch * batches.per_epoch + place
        for epoch in range(epochs)
        for place, batch in enumerate(batches.epoch(epoch))
        if set(batch.rows.tolist()) & set(rows)
    ]


def test_a_step_that_is_no_number_is_skipped_and_named(tmp_path: Path) -> None:
    batches = bad_batches(17)
    trained, result = train(tmp_path, batches=batches)
    expected = steps_with((17,), batches, 4)
    assert list(result.skipped) == expected
    assert all(value.isfinite().all() for value in weights(trained).values())
    assert len(expected) == 4
    assert "4 of 28 training steps were skipped" in result.notes[0]
    noted = [json.loads(line).get("skipped", {}) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    named = {int(step): rows for one in noted for step, rows in one.items()}
    assert sorted(named) == expected
    assert all(17 in rows for rows in named.values())
    means = [row["train_loss"] for row in result.history]
    assert all(0 < mean < 2 for mean in means)


def test_a_skipped_step_changes_nothing(tmp_path: Path) -> None:
    run = Run(model(), bad_batches(*range(100)), Batches(arrays(60), 32, 0), ANSWERS, TrainSpec(batch_rows=16))
    good = next(Batches(arrays(100), 16, 0).epoch(0))
    run.step(good)
    before, state = (
        weights(run.model),
        {name: value.clone() for name, value in snapshot({}, run.optimizer)["optimizer"].items()},
    )
    assert run.step(next(run.train.epoch(0))) == 0
    assert run.failed() == [1]
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in before.items())
    after = snapshot({}, run.optimizer)["optimizer"]
    assert state.keys() == after.keys() != set()
    assert all(torch.equal(value, after[name]) for name, value in state.items())
    run.step(good)
    assert not all(torch.equal(value, run.model.state_dict()[name]) for name, value in before.items())


def test_too_many_skipped_in_a_row_or_the_policy_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(CeibaError, match=r"loss and gradient at step .* must be numbers"):
        train(tmp_path / "a", batches=bad_batches(17), divergence={"policy": "stop"})
    with pytest.raises(CeibaError, match="must be numbers"):
        train(tmp_path / "b", batches=bad_batches(*range(100)), divergence={"most": 4})


def test_rolling_back_takes_the_last_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = bad_batches(17)
    (first, *_) = steps_with((17,), batches, 1)
    trained, result = train(
        tmp_path, batches=batches, divergence={"policy": "rollback"}, checkpoint={"every_steps": 1}, log_every=1
    )
    assert result.skipped[0] == first
    assert all(value.isfinite().all() for value in weights(trained).values())
    assert f"step {first + 1}: back to the weights of step {first}" in capsys.readouterr().err


@pytest.mark.parametrize("parts", [2, 3, 16])
def test_parts_of_a_step_add_up_to_the_whole(parts: int) -> None:
    gradients = []
    targets = np.array([0, 1, 2, -1] * 25)  # a missing one in four: the parts have other counts
    for count in (1, parts):
        data = arrays(100)
        data.targets["y"] = targets
        batches = Batches(data, 16, 0, AugmentSpec(noise=0.1))
        run = Run(
            model(dropout=0).double(), batches, batches, ANSWERS, TrainSpec(batch_rows=16, accumulate=count, l1=0.1)
        )
        batch = next(batches.epoch(0))
        batch = replace(batch, inputs={name: part.double() for name, part in batch.inputs.items()})
        run.backward(batch)
        gradients.append({name: value.grad for name, value in run.model.named_parameters()})
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-6, atol=1e-8)


def test_checkpoints_come_by_steps_and_are_kept_as_told(tmp_path: Path) -> None:
    train(tmp_path / "a", checkpoint={"every_steps": 5, "every_seconds": None, "keep": 3})
    assert [path.name for path in sorted((tmp_path / "a/checkpoints").iterdir())] == [
        "step-000000015", "step-000000020", "step-000000025"
    ]  # fmt: skip
    train(tmp_path / "b", checkpoint={"every_steps": 5, "every_seconds": None, "keep": 3, "most_bytes": 1})
    assert [path.name for path in (tmp_path / "b/checkpoints").iterdir()] == ["step-000000025"]
    train(tmp_path / "c", checkpoint={"every_seconds": 1e-9, "keep": 100})
    assert len(list((tmp_path / "c/checkpoints").iterdir())) == 27
    train(tmp_path / "d")
    assert not (tmp_path / "d/checkpoints").exists()


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(operation: str, path: Path) -> None:
        if operation == "rename" and path.name == "step-000000010":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("ceiba.base.files.on_operation", full)
    with pytest.raises(CeibaError, match=r"step-000000010: the checkpoint could not .* No space .*errno 28"):
        train(tmp_path, checkpoint={"every_steps": 5})
    monkeypatch.undo()
    undisturbed, _ = train(tmp_path / "whole")
    resumed, _ = train(tmp_path, resume=True)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in weights(undisturbed).items())


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "checkpoints" / ".ceiba-tmp-step-000000005-1-abc"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    train(tmp_path, epochs=1)
    assert not left.exists()


def test_a_stop_while_validating_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Halting(Batches):
        def in_order(self, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, Batch]]:
            os.kill(os.getpid(), signal.SIGTERM)
            yield from super().in_order(share)

    valid = Halting(arrays(60, seed=1), 32, 0)
    spec = TrainSpec(epochs=4, batch_rows=16, augment=AugmentSpec(noise=0.1), log_every=3, compile=False)
    batches = Batches(arrays(100), 16, 0, spec.augment)
    with pytest.raises(Stopped, match="Stopped at step 7"):
        fit(model(), batches, valid, ANSWERS, spec, tmp_path / "cut", IDENTITY)
    lines = [json.loads(line) for line in (tmp_path / "cut/log.jsonl").read_text().splitlines()]
    assert not any("epoch" in line for line in lines), "the rest of the rows was validated first"
    undisturbed, whole = train(tmp_path / "whole")
    resumed, rest = train(tmp_path / "cut", resume=True)
    assert [row["valid_loss"] for row in rest.history] == [row["valid_loss"] for row in whole.history]
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in weights(undisturbed).items())


def test_another_recipe_is_shown_where_it_differs(tmp_path: Path) -> None:
    spec, batches = (
        TrainSpec(epochs=1, batch_rows=16, checkpoint=CheckpointSpec(every_steps=3)),
        Batches(arrays(100), 16, 0),
    )
    one, other = (json.dumps({"train": {"epochs": 1, "optimizer": {"lr": lr}}}) for lr in (0.1, 0.2))
    fit(model(), batches, batches, ANSWERS, spec, tmp_path, {"recipe": one})
    with pytest.raises(InputError, match=r"another recipe. Got train.optimizer.lr: 0.2 \(saved: 0.1\)"):
        fit(model(), batches, batches, ANSWERS, spec, tmp_path, {"recipe": other}, resume=True)
