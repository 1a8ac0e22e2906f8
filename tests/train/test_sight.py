"""What is said of a training's speed."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ceiba.answers import ClassesAnswer
from ceiba.batches import Batch, Batches
from ceiba.encoders import IMAGE_ENCODERS, TEXT_ENCODERS
from ceiba.fields import ImageLayout, Ragged, TextLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.train import TrainSpec, fit
from ceiba.train.sight import Sight, flops_of, peak_flops
from ceiba.train.step import Run

ANSWERS = {"y": ClassesAnswer(("no", "yes"))}


def images(rows: int = 40) -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 8, 8, 1), dtype=np.uint8)
    parts = {"photo.pixels": pixels}
    return Batches(Arrays(Path(), rows, parts, {"y": np.arange(rows) % 2}, None, np.arange(rows)), 8, 0)


def texts(rows: int = 40) -> Batches:
    ids = np.random.default_rng(0).integers(1, 20, rows * 6).astype(np.int32)
    parts = {"text.ids": Ragged(ids, np.arange(rows + 1) * 6)}
    return Batches(Arrays(Path(), rows, parts, {"y": np.arange(rows) % 2}, None, np.arange(rows)), 8, 0)


def image_model(kind: str) -> Model:
    encoder = IMAGE_ENCODERS[kind].model_validate({"channels": [4, 8]})
    spec = ModelSpec(dim=8, encoders={"photo": encoder}, heads={"y": HEADS["classes"]()})
    layout = ImageLayout(height=8, width=8, channels=1, mean=(127.0,), std=(70.0,))
    return build_model(spec, {"photo": layout}, {"y": OutputLayout("classes", 2, (1, 1))}, seed=1)


def text_model(**told: object) -> Model:
    encoder = TEXT_ENCODERS[str(told.pop("type"))].model_validate(told)
    spec = ModelSpec(dim=8, encoders={"text": encoder}, heads={"y": HEADS["classes"]()})
    layout = TextLayout(vocab=20, max_tokens=8, weighted=False)
    return build_model(spec, {"text": layout}, {"y": OutputLayout("classes", 2, (1, 1))}, seed=1)


@pytest.mark.parametrize("kind", ["cnn", "resnet"])
def test_operations_of_convolutions_are_those_that_torch_counts(kind: str) -> None:
    model, batch = image_model(kind).eval(), next(images().epoch(0))
    with FlopCounterMode(display=False) as counter:
        model(batch.inputs)
    assert flops_of(model, batch) == 3 * counter.get_total_flops() // 8


def test_operations_of_attention_and_recurrence_follow_their_formulas() -> None:
    batch = next(texts().epoch(0))
    lstm = text_model(type="lstm", width=16)
    # Two directions, 6 tokens: 4 gates of inputs and of state; the map to 8; the head.
    assert flops_of(lstm, batch) == 3 * (2 * 6 * 2 * (4 * 16 * 8 + 4 * 16 * 16) + 2 * 6 * 32 * 8 + 2 * 8 * 2)
    attention = text_model(type="transformer", layers=1, heads=2)
    block = attention.encoders["0_text"].transformer.blocks[0]  # type: ignore[union-attr,index]
    inner = block.feed_forward[0].out_features
    products = 6 * (8 * 24 + 8 * 8 + 2 * 8 * inner) + 2 * 6 * 6 * 8 + 8 * 2
    assert flops_of(attention, batch) == 3 * 2 * products


def test_a_look_counts_rows_tokens_and_waiting() -> None:
    def slowly() -> object:
        for batch in texts().epoch(0):
            time.sleep(0.02)
            yield batch

    sight = Sight()
    seen: list[Batch] = list(sight.watch(slowly()))  # type: ignore[arg-type]
    sight.flops_a_row, sight.peak = 1000, 1e9
    seconds = time.perf_counter() - sight.began
    found = sight.look()
    assert len(seen) == 5
    assert found["rows_per_second"] == pytest.approx(40 / seconds, rel=0.05)
    assert found["tokens_per_second"] == pytest.approx(240 / seconds, rel=0.05)
    assert found["data_wait_share"] > 0.9
    assert found["mfu"] == pytest.approx(found["gflops"]) == pytest.approx(40_000 / seconds / 1e9, rel=0.05)
    assert sight.look()["rows_per_second"] == 0


def test_the_peak_is_that_of_a_matrix_product() -> None:
    left = torch.randn(512, 512)
    left @ left
    began = time.perf_counter()
    for _ in range(10):
        left @ left
    assert peak_flops(torch.device("cpu")) > 0.2 * 10 * 2 * 512**3 / (time.perf_counter() - began)


def test_the_log_has_the_figures_and_a_trace_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["ceiba.train.loop"], "MFU_AFTER_S", 0.0)
    spec = TrainSpec.model_validate({"epochs": 4, "log_every": 2, "profile": True, "compile": False})
    fit(text_model(type="lstm"), texts(), texts(), ANSWERS, spec, tmp_path, {})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    figures = [line for line in lines if "lr" in line]
    assert {"rows_per_second", "tokens_per_second", "data_wait_share", "memory_bytes", "gradient_norm"} <= set(
        figures[0]
    )
    assert figures[-1]["mfu"] > 0
    assert 0 < figures[-1]["data_wait_share"] < 1
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


@pytest.mark.parametrize("kind", ["resnet", "transformer"])
def test_recomputed_blocks_give_the_same_gradients(kind: str) -> None:
    gradients = []
    for recompute in (False, True):
        model = image_model("resnet") if kind == "resnet" else text_model(type="transformer", dropout=0.3)
        batches = images() if kind == "resnet" else texts()
        run = Run(model, batches, batches, ANSWERS, TrainSpec(recompute=recompute))
        model.train()
        saved: list[int] = []

        def keep(one: torch.Tensor, saved: list[int] = saved) -> torch.Tensor:
            saved.append(one.numel())
            return one

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
            run.seed_step()
            loss = run.loss(next(batches.epoch(0)))
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(({name: value.grad for name, value in model.named_parameters()}, sum(saved)))
    (whole, much), (again, little) = gradients
    assert little < 0.7 * much
    assert all(torch.equal(value, again[name]) for name, value in whole.items() if value is not None)


def test_nothing_is_left_in_a_trained_model(tmp_path: Path) -> None:
    model = image_model("resnet")
    fit(model, images(), images(), ANSWERS, TrainSpec(epochs=1, recompute=True, compile=False), tmp_path, {})
    assert all("forward" not in vars(part) for part in model.modules() if isinstance(part, nn.Module))
