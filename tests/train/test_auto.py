"""Settings left to auto: measured where that pays, changed for a clear gain, kept with the run."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ceiba import __version__
from ceiba.answers import ClassesAnswer
from ceiba.batches import Batch, Batches
from ceiba.encoders import IMAGE_ENCODERS
from ceiba.fields import ImageLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.train import TrainSpec, auto, fit
from ceiba.train.checkpoint import load_checkpoint
from ceiba.train.step import Run

ANSWERS = {"y": ClassesAnswer(("no", "yes"))}
LONG = {"epochs": 100_000, "batch_rows": 16, "workers": 0}


def arrays() -> Arrays:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 1), dtype=np.uint8)
    return Arrays(
        folder=Path(), num_rows=48, parts={"photo.pixels": pixels}, weight=None, rows=np.arange(48),
        targets={"y": (pixels.mean((1, 2, 3)) > 127).astype(np.int64)},
    )  # fmt: skip


def model() -> Model:
    encoder = IMAGE_ENCODERS["cnn"].model_validate({"channels": [4]})
    spec = ModelSpec(dim=8, encoders={"photo": encoder}, heads={"y": HEADS["classes"]()})
    layout = ImageLayout(height=8, width=8, channels=1, mean=(127.0,), std=(70.0,))
    return build_model(spec, {"photo": layout}, {"y": OutputLayout("classes", 2, (1, 1))}, seed=1)


def choose(monkeypatch: pytest.MonkeyPatch, times: dict[str, float], **options: Any) -> auto.Chosen:
    """What is chosen where a step takes 0.1 s, times what each setting in use makes of it."""

    def pretended(run: Run, batch: object) -> float:
        one = run.settings
        used = {one.precision, f"{one.threads} threads"}
        used |= {name for name in ("channels_last", "compile") if getattr(one, name)}
        return 0.1 * float(np.prod([times.get(name, 1.0) for name in used]))

    monkeypatch.setattr(auto, "step_seconds", pretended)
    monkeypatch.setattr(auto, "gains_from_bf16", lambda device: "imitated" not in times)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(Model, "compile", lambda self: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    batches = Batches(arrays(), 16, 0)
    return auto.choose(model(), batches, batches, ANSWERS, TrainSpec.model_validate({**LONG, **options}))


def test_a_clear_gain_is_taken_and_a_small_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose(monkeypatch, {"bf16": 0.8, "channels_last": 1.1, "2 threads": 2, "compile": 0.5})
    assert found.settings == auto.Settings("bf16", False, 4, True)
    assert [round(float(str(one["step_seconds"])), 3) for one in found.measured] == [0.1, 0.08, 0.088, 0.16, 0.04]
    found = choose(monkeypatch, {"bf16": 0.9, "channels_last": 0.95, "2 threads": 0.9})
    assert found.settings == auto.Settings("bf16", True, 4, False)
    found = choose(monkeypatch, {"bf16": 0.9, "channels_last": 0.5, "2 threads": 0.5, "compile": 0.9})
    assert found.settings == auto.Settings("bf16", True, 2, False)
    assert choose(monkeypatch, {"bf16": 0.9, "channels_last": 0.97}).settings == auto.Settings("fp32", False, 4, False)


def test_a_format_that_is_only_imitated_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose(monkeypatch, {"imitated": 1, "bf16": 0.1, "channels_last": 0.5, "2 threads": 2}, compile=False)
    assert found.settings == auto.Settings("fp32", True, 4, False)
    assert {one["precision"] for one in found.measured} == {"fp32"}


def test_bf16_is_tried_where_products_are_large() -> None:
    spec, base = TrainSpec(), auto.Settings()
    for layer, tried in ((torch.nn.LSTM(4, 4), True), (torch.nn.Conv1d(4, 4, 3), True), (torch.nn.Linear(4, 4), False)):
        holder = torch.nn.Sequential(layer)
        assert ({"precision": "bf16"} in auto.candidates(holder, spec, base)) is tried  # type: ignore[arg-type]


def test_a_format_pays_where_its_products_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster in (torch.bfloat16, torch.float32):
        monkeypatch.setattr(auto, "peak_flops", lambda device, kind, *_, faster=faster: 2.0 if kind == faster else 1.0)
        auto.gains_from_bf16.cache_clear()
        assert auto.gains_from_bf16("cpu") is (faster == torch.bfloat16)
    auto.gains_from_bf16.cache_clear()


def test_what_the_recipe_says_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = {"precision": "fp32", "channels_last": True, "threads": 3, "compile": False}
    found = choose(monkeypatch, {"bf16": 0.1, "compile": 0.1}, **pinned)
    assert found.settings == auto.Settings("fp32", True, 3, False)
    assert found.measured == []


def test_short_trainings_are_begun_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose(monkeypatch, {"bf16": 0.1, "compile": 0.1}, epochs=10)
    assert found.settings == auto.Settings("fp32", False, 4, False)
    assert len(found.measured) == 1


def test_measuring_leaves_the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, batches = model(), Batches(arrays(), 16, 0)
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    monkeypatch.setattr(auto, "gains_from_bf16", lambda device: True)
    monkeypatch.setattr(auto, "WORTH_S", 0.0)
    spec = TrainSpec.model_validate({**LONG, "compile": False})
    found = auto.choose(kept, batches, batches, ANSWERS, spec)
    assert len(found.measured) >= 3
    assert all(float(str(one["step_seconds"])) > 0 for one in found.measured)
    assert all(torch.equal(value, kept.state_dict()[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in kept.parameters())


def test_a_long_step_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        device, model, taken = torch.device("cpu"), model(), 0
        optimizer = torch.optim.SGD(model.parameters())

        def backward(self, batch: Batch) -> torch.Tensor:
            self.taken += 1
            time.sleep(0.02)
            return torch.zeros(())

    batch = next(Batches(arrays(), 16, 0).epoch(0))
    for long_s, expected in ((auto.LONG_STEP_S, 1 + auto.TIMED_STEPS), (0.01, 2)):
        monkeypatch.setattr(auto, "LONG_STEP_S", long_s)
        run = Counting()
        assert 0.02 <= auto.step_seconds(run, batch) < 0.2  # type: ignore[arg-type]
        assert run.taken == expected


def test_others_are_told_when_nothing_is_measured_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    inner = auto.choose
    monkeypatch.setattr(
        sys.modules["ceiba.train.loop"], "choose", lambda *given: (seen.append("measured"), inner(*given))[1]
    )
    batches = Batches(arrays(), 16, 0)
    fit(model(), batches, batches, ANSWERS, TrainSpec(epochs=1), tmp_path, {}, settled=lambda: seen.append("settled"))
    assert seen == ["measured", "settled"]


def test_a_run_that_goes_on_does_not_measure_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(arrays(), 16, 0)
    pinned = {"precision": "bf16", "channels_last": True, "threads": 1, "compile": False}
    first = TrainSpec.model_validate({"epochs": 2, "checkpoint": {"every_steps": 2}, **pinned})
    trained = fit(model(), batches, batches, ANSWERS, first, tmp_path, {})
    expected = {"precision": "bf16", "channels_last": True, "threads": 1, "compile": False, "measured": []}
    expected |= {"accumulate": 1, "workers": 0, "lr": None}
    assert trained.settings == trained.cost["settings"] == expected
    assert load_checkpoint(tmp_path / "checkpoints", {"version": __version__})[0].settings == expected
    monkeypatch.setattr(sys.modules["ceiba.train.loop"], "choose", None)
    again = TrainSpec.model_validate({"epochs": 2})
    assert fit(model(), batches, batches, ANSWERS, again, tmp_path, {}, resume=True).settings == expected


class Slow(Batches):
    """Each batch takes a while, as long as others may work meanwhile."""

    batch_s = 0.01

    def make(self, positions: NDArray[np.int64], epoch: int, share: tuple[int, int] = (0, 1)) -> Batch:
        time.sleep(self.batch_s)
        return super().make(positions, epoch, share)


@pytest.mark.parametrize(
    ("batch_s", "epochs", "threads"), [(0.02, 10_000, True), (0.02, 10, False), (0.0, 10_000, False)]
)
def test_threads_make_batches_where_that_pays(batch_s: float, epochs: int, threads: bool) -> None:
    kind = type("Slower", (Slow,), {"batch_s": batch_s})
    batches = kind(arrays(), 4, 0)
    spec = TrainSpec(epochs=epochs, batch_rows=4, compile=False, channels_last=True, precision="fp32")
    chosen = auto.choose(model(), batches, batches, ANSWERS, spec)
    assert (chosen.settings.workers > 0) == threads
    tried = [one["workers"] for one in chosen.measured if "seconds_with_loading" in one]
    assert tried == [0, 1, 2] if threads else tried in ([], [0])
