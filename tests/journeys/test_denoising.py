"""An encoder and a decoder that learn from plain text: what they restore, and that their training resumes."""

import json
import math
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import ceiba
from ceiba.base.errors import Stopped
from ceiba.batches import Batch, Batches
from ceiba.cli import main
from ceiba.fields import Fields, Pieces, TokenField
from ceiba.heads import DECODER_OPTIONS
from ceiba.model import open_model
from ceiba.run import Run

LETTERS = "abcdefgh"
TRAIN = {"batch_rows": 16, "threads": 1, "precision": "fp32"}


def cycle(start: int, length: int) -> str:
    """Letters that follow one another: what was left out of them is known from what was not."""
    return "".join(LETTERS[(start + place) % len(LETTERS)] for place in range(length))


def texts(count: int, seed: int) -> list[dict[str, str]]:
    draw = random.Random(seed)
    return [{"text": cycle(draw.randrange(8), draw.randint(80, 120))} for _ in range(count)]


def recipe(**more: Any) -> dict[str, Any]:
    return {
        "data": {"train": texts(300, 0), "valid": texts(10, 1), "test": texts(20, 2)},
        "outputs": {"text": {
            "type": "text", "tokenizer": "character", "max_tokens": 16,
            "head": {"type": "denoise", "rate": 0.25, "span": 2},
        }},
        "model": {"dim": 64, "trunk": {"type": "transformer", "layers": 1, "heads": 4}},
        "train": {**TRAIN, "steps": 1400, "optimizer": {"lr": 0.003}}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network that restores cycles of letters."""
    run = ceiba.train(recipe(), out=tmp_path_factory.mktemp("denoise") / "run")
    assert isinstance(run, Run)
    return run


def test_what_was_left_out_is_restored(learnt: Run) -> None:
    measured, beside = (learnt.report[part]["test"]["text"] for part in ("metrics", "baselines"))
    assert set(measured) == {"loss", "perplexity"}
    assert measured["loss"]["value"] < beside["constant"]["loss"]["value"] / 8
    assert set(beside) == {"constant"}
    spec = learnt.bundle.model["spec"]
    assert all(spec["heads"]["text"][name] == spec["trunk"][name] for name in DECODER_OPTIONS), "built as its encoder"
    model, parts = open_model(learnt.bundle), pieces(learnt, texts(20, 2))
    found = torch.zeros_like(parts["teacher"])
    for place in range(found.shape[1]):  # token by token, from those that it wrote itself
        logits = model({"text.ids": parts["ids"], "text.teacher": found})["text"]
        found[:, place] = logits[:, place].argmax(-1)
    right = [(row[there > 0] == there[there > 0]).all() for row, there in zip(found, parts["teacher"], strict=True)]
    assert np.mean(right) > 0.75


def pieces(run: Run, rows: list[dict[str, str]]) -> dict[str, torch.Tensor]:
    """Texts as they are measured: what is left of them, and what restores it."""
    one = Fields.from_json(run.bundle.fields_json, run.bundle.field_files()).inputs["text"]
    assert isinstance(one, TokenField)
    found = one.encode(pa.array([row["text"] for row in rows]))
    return {name: torch.from_numpy(part.pad()) for name, part in found.items() if isinstance(part, Pieces)}


def test_it_stands_beside_the_frequencies_of_what_restores_the_training_texts(learnt: Run) -> None:
    counted, measured = (pieces(learnt, texts(*given))["teacher"] for given in ((300, 0), (20, 2)))
    counts = Counter(counted[counted > 0].tolist())
    vocab = learnt.bundle.model["outputs"]["text"]["classes"]
    total, kinds = sum(counts.values()), len(counts)  # Witten-Bell, as all runs of tokens are counted
    nats = [-math.log((counts[one] + kinds / (vocab - 1)) / (total + kinds)) for one in measured[measured > 0].tolist()]
    found = learnt.report["baselines"]["test"]["text"]["constant"]["loss"]["value"]
    assert found == pytest.approx(np.mean(nats), rel=1e-6)


def test_how_surprising_a_text_is(learnt: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [{"text": cycle(3, 16)}, {"text": "hgahcbfaedgbcahf"}, {"text": ""}, {"text": cycle(0, 100)}]
    predictor = ceiba.open(learnt.folder)
    found = predictor.predict(given)
    assert [one["text_tokens"] for one in found] == [7, 7, 0, 6 * 7 + 3]
    assert found[0]["text_perplexity"] < 1.5 < 4 < found[1]["text_perplexity"]
    for one, row in zip(found, given, strict=True):
        assert predictor.predict(row) == pytest.approx(one, rel=1e-4), "alone as among others"
    run = str(learnt.folder)
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"prompt": "ab", "choices": ["c", "d"], "answer": 0}))
    out = ["--out", str(tmp_path / "out")]
    for words, rule in (
        (["export", run, "--to", "onnx", *out], "must answer in one pass"),
        (["export", run, "--to", "torch", *out], "must answer in one pass"),
        (["export", run, "--to", "huggingface", *out], "A family must have all options"),
        (["compress", run, *out], "must answer in one pass"),
        (["generate", run, "--prompt", "ab"], "no next_token head"),
        (["evaluate", run, str(questions), "--choices", "choices"], "needs a language model"),
    ):
        assert main(words) != 0
        assert rule in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(ceiba.CeibaError, match="embed needs a network that reads a row at once"):
        predictor.embed(given)


def test_a_training_that_is_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = recipe(train={**TRAIN, "steps": 12, "validate_every": 5, "checkpoint": {"every_steps": 3}})
    short["data"] = {"train": texts(12, 0), "valid": texts(4, 1), "test": texts(4, 2)}
    short["model"]["trunk"]["dropout"] = 0.1
    whole = ceiba.train(short, out=tmp_path / "whole")
    epoch = Batches.epoch

    def stopping(self: Batches, number: int, start: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        for place, batch in enumerate(epoch(self, number, start, share), start):
            if number * self.per_epoch + place == 7:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "epoch", stopping)
        with pytest.raises(Stopped):
            ceiba.train(short, out=tmp_path / "cut")
    again = ceiba.train(short, out=tmp_path / "cut", resume=True)
    assert again.bundle.read("weights.safetensors") == whole.bundle.read("weights.safetensors")
    assert again.report["metrics"] == whole.report["metrics"]
