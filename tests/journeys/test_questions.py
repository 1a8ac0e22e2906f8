"""Questions about passages, some of which hold no answer: SQuAD's layout → a model that quotes → answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import ceiba
from ceiba.base.errors import DataError
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.metrics import span_scores
from ceiba.read import open_frame

COLORS = ["red", "blue", "green", "grey"]
WORDS = [
    "the",
    "a",
    "house",
    "stands",
    "near",
    "its",
    "old",
    "river",
    "and",
    "people",
    "walk",
    "past",
    "every",
    "winter",
]
RECIPE = """
data:
  train: train.json
  test: test.json
  clean: [{pair: {passage: [question, context]}}]
inputs: {passage: {type: text, tokenizer: word, encoder: {type: transformer, layers: 1, segments: 2}}}
outputs: {answer: span}
model: {dim: 32}
train: {epochs: 8, batch_rows: 16, threads: 1, optimizer: {lr: 0.005}}
"""


def squad(path: Path, rows: int, seed: int) -> list[dict[str, Any]]:
    """Passages of which some name a color, sometimes of two words, and what was written about each."""
    random = np.random.default_rng(seed)
    questions, told = [], []
    for row in range(rows):
        words = list(random.choice(WORDS, random.integers(6, 20)))
        color = None if row % 3 == 0 else str(random.choice(COLORS))
        color = f"dark {color}" if color and row % 2 else color
        place = int(random.integers(len(words)))
        context = " ".join([*words[:place], *([color] if color else []), *words[place:]])
        answers = [{"text": color, "answer_start": context.index(f"{color}")}] if color else []
        one = {"id": f"q{row}", "question": "Which color?", "answers": answers, "is_impossible": not answers}
        questions.append({"context": context, "qas": [one]})
        told.append({"question": one["question"], "context": context, "color": color})
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "Houses", "paragraphs": questions}]}))
    return told


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    squad(tmp_path / "train.json", 400, 0)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_answers_are_quoted_or_there_are_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = squad(folder / "test.json", 90, 1)
    assert main(["train", "recipe.yaml", "--out", "run", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    samples = json.loads(Path("run/bundle/report.json").read_text())["samples"]
    measured, never = figures["metrics"]["test"]["answer"], figures["baselines"]["test"]["answer"]["constant"]
    assert measured["exact_match"]["value"] > 0.9
    assert never["exact_match"]["value"] == never["token_f1"]["value"] == pytest.approx(1 / 3)

    assert main(["predict", "run", "test.json", "--out", "answers.parquet", "--keep", "context"]) == 0
    answers = pq.read_table("answers.parquet").to_pylist()
    truths = [[one["color"]] if one["color"] else [] for one in told]
    scores = [span_scores(one["answer"], truth) for one, truth in zip(answers, truths, strict=True)]
    assert np.mean([exact for exact, _ in scores]) == pytest.approx(measured["exact_match"]["value"])
    assert np.mean([f1 for _, f1 in scores]) == pytest.approx(measured["token_f1"]["value"])
    assert len(samples) >= 3
    for sample in samples:
        row = sample["row"]
        assert sample["inputs"] == {"passage": f"Which color? {told[row]['context']}"}
        assert sample["outputs"]["answer"] == {
            "answer": answers[row]["answer"] or "(none)", "truth": told[row]["color"] or "(none)"
        }  # fmt: skip
    for one in answers:
        assert (one["answer"] is None) == (one["answer_score"] <= 0) == (one["answer_start"] is None)
        if one["answer"] is not None:
            assert one["context"][one["answer_start"] : one["answer_end"]] == one["answer"]

    rows = [
        {"question": "Which color?", "context": "The OLD house, dark Green, stands."},
        {"question": "", "context": ""},
    ]
    first, empty = ceiba.open("run").predict(rows)
    assert first["answer"] == "dark Green"
    assert empty["answer"] is None
    assert open_bundle("run").answers["answer"]["source"] == "passage"
    assert main(["export", "run", "--to", "onnx", "--out", "exported"]) == 0
    rows += [{"question": one["question"], "context": one["context"]} for one in told[:20]]
    for one, other in zip(ceiba.open("exported").predict(rows), ceiba.open("run").predict(rows), strict=True):
        assert one == other | {"answer_score": pytest.approx(other["answer_score"], rel=1e-4, abs=1e-3)}


def test_answers_may_come_as_objects_or_as_json(folder: Path) -> None:
    squad(folder / "test.json", 9, 1)
    frame = open_frame(folder / "train.json")
    assert frame.names == ("id", "title", "question", "context", "answer")
    rows = frame.to_table().to_pylist()
    assert json.loads(rows[1]["answer"])[0]["text"] in rows[1]["context"]
    plain = [{**row, "answer": json.loads(row["answer"])} for row in rows]
    recipe = {
        "data": {"train": plain, "clean": [{"pair": {"passage": ["question", "context"]}}]},
        "inputs": {"passage": {"type": "text", "encoder": "transformer"}}, "outputs": {"answer": "auto"},
        "model": {"dim": 8}, "train": {"steps": 2, "threads": 1},
    }  # fmt: skip
    run = ceiba.train(recipe, out=folder / "run")
    assert set(run.report["metrics"]["test"]["answer"]) >= {"exact_match", "token_f1"}
    assert not any("classes" in note or "labels" in note for note in run.report["notes"])


def test_an_answer_that_is_not_in_its_passage_is_refused(folder: Path) -> None:
    text = (folder / "train.json").read_text().replace('"answer_start": ', '"answer_start": 9')
    (folder / "wrong.json").write_text(text)
    with pytest.raises(DataError, match="answers that stand in its context"):
        open_frame(folder / "wrong.json")
