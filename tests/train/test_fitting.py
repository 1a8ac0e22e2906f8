"""A step that does not fit into memory is cut into parts, and stays the same step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import ANSWERS, arrays, model, weights

from ceiba.base.errors import RecipeError
from ceiba.batches import Batches
from ceiba.fields import Ragged
from ceiba.model import Model
from ceiba.prepare import Arrays
from ceiba.train import Trained, TrainSpec, fit, fitting
from ceiba.train.fitting import LivePeak, step_bytes
from ceiba.train.step import Run, Settings

ROWS = 96


def run_of(accumulate: int = 1) -> Run:
    batches = Batches(arrays(100), ROWS, 0)
    spec = TrainSpec(batch_rows=ROWS, accumulate=accumulate)
    return Run(model(dropout=0), batches, batches, ANSWERS, spec, Settings(accumulate=accumulate))


def trained_within(limit: int | None, folder: Path) -> tuple[Model, Trained]:
    batches, trained = Batches(arrays(100), ROWS, 0), model(dropout=0)
    spec = TrainSpec(batch_rows=ROWS, epochs=2, compile=False, memory_bytes=limit)
    return trained, fit(trained, batches, batches, ANSWERS, spec, folder, {})


def test_the_peak_counts_what_lives_at_once() -> None:
    with LivePeak() as peak:
        first = torch.ones(1000)  # 4,000 bytes
        second = first.view(10, 100) + 1
        del second
        third = first.mul_(2) + 1
    assert peak.bytes == 8000
    assert peak.live == 8000
    del first, third
    assert peak.live == 0


def test_parts_take_less_memory() -> None:
    runs = {count: run_of(count) for count in (1, 2, 8)}
    found = {count: step_bytes(run, next(run.train.epoch(0))) for count, run in runs.items()}
    gradients = sum(one.nbytes for one in runs[1].parameters)
    assert found[1] > found[2] > found[8] > gradients
    assert found[1] - gradients == pytest.approx(2 * (found[2] - gradients), rel=0.25)


def test_the_least_number_of_parts_that_fits_is_taken(tmp_path: Path) -> None:
    needs = {count: step_bytes(run_of(count), Batches(arrays(100), ROWS, 0).largest()) for count in (1, 2, 4)}
    for count, limit in ((1, needs[1]), (2, needs[1] - 1), (4, needs[2] - 1)):
        _, found = trained_within(limit, tmp_path / str(count))
        assert found.settings["accumulate"] == count
        assert found.steps == 4
    with pytest.raises(RecipeError, match="One row must fit"):
        trained_within(1, tmp_path / "none")


def test_a_step_in_parts_is_the_same_step(tmp_path: Path) -> None:
    limit = step_bytes(run_of(4), Batches(arrays(100), ROWS, 0).largest())
    whole, cut = (trained_within(told, tmp_path / str(told)) for told in (None, limit))
    assert [result.settings["accumulate"] for _, result in (whole, cut)] == [1, 4]
    for name, value in weights(whole[0]).items():
        torch.testing.assert_close(cut[0].state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_the_largest_batch_has_the_longest_rows() -> None:
    lengths = np.array([1, 9, 2, 7, 3])
    ids = np.arange(1, lengths.sum() + 1, dtype=np.int32)
    texts = Ragged(ids, np.concatenate([[0], np.cumsum(lengths)]))
    data = Arrays(Path(), 5, {"text.ids": texts}, {"y": np.zeros(5, np.int64)}, None, np.arange(5))
    assert sorted(Batches(data, 2, 0).largest().rows.tolist()) == [1, 3]
    assert Batches(data, 4, 0).largest(size=2).rows.tolist() == [3, 1]
    assert Batches(data, 99, 0).largest().num_rows == 5


def test_an_accelerator_that_is_full_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = run_of(), []

    def backward(batch: Any) -> None:
        asked.append(batch.num_rows)
        raise torch.OutOfMemoryError

    monkeypatch.setattr(run, "backward", backward)
    assert not fitting.fits(run, run.train.largest())
    assert asked == [ROWS]
