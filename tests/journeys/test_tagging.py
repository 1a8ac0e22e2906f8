"""A tagger from sentences to a smaller graph that answers alike."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import ceiba
from ceiba.__main__ import main

NAMES, PLACES = ("Anna", "Otto", "Mia"), ("Oslo", "Rome", "Bergen")


def sentences(count: int) -> list[dict[str, Any]]:
    """NAME [NAME] lives in PLACE, now and then the other way round; of several lengths."""
    found = []
    for row in range(count):
        person = [NAMES[row % 3], *([NAMES[(row + 1) % 3]] if row % 4 == 0 else [])]
        place = PLACES[row % 5 % 3]
        words = [*person, "lives", "in", place] if row % 2 else ["In", place, "lives", *person, "."]
        tags = ["B-LOC" if word in PLACES else "O" for word in words]
        for at, word in enumerate(words):
            if word in NAMES:
                tags[at] = "I-PER" if at and words[at - 1] in NAMES else "B-PER"
        found.append({"word": words, "tag": tags})
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tagger with a chain, and its export."""
    found = tmp_path_factory.mktemp("tagging")
    for name, count in (("train", 160), ("test", 60)):
        lines = [f"{word} {tag}" if tag else "" for one in sentences(count)
                 for word, tag in [*zip(one["word"], one["tag"], strict=True), ("", "")]]  # fmt: skip
        (found / f"{name}.txt").write_text("\n".join(lines) + "\n")
    recipe = {
        "data": {"train": str(found / "train.txt"), "test": str(found / "test.txt"), "format": "conll",
                 "header": ["word", "tag"]},
        "inputs": {"word": {"type": "words", "encoder": {"type": "lstm", "width": 16, "word_dim": 16, "dropout": 0.1}}},
        "outputs": {"tag": {"type": "tags", "head": {"type": "tags", "crf": True}}},
        "model": {"dim": 16}, "train": {"epochs": 8, "threads": 1, "optimizer": {"type": "adamw", "lr": 0.02}},
    }  # fmt: skip
    ceiba.train(recipe, out=found / "run")
    assert main(["export", str(found / "run"), "--to", "onnx", "--out", str(found / "exported")]) == 0
    return found


def test_an_exported_tagger_answers_alike_and_needs_no_torch(folder: Path) -> None:
    parity = json.loads((folder / "exported" / "parity.json").read_text())
    assert parity["worst"]["tag"] <= 1e-4
    assert {one["kind"] for one in parity["cases"]} == {"real", "random"}
    rows = [*sentences(40), {"word": ["Mia"]}, {"word": []}, {"word": ["Anna", "Otto", "visited"] * 30}]
    first, second = (ceiba.open(folder / name).predict(rows) for name in ("run", "exported"))
    assert first == second
    assert first[1]["tag"] == ["B-PER", "O", "O", "B-LOC"]
    assert first[-2]["tag"] == []
    assert len(first[-1]["tag"]) == 90


def test_a_smaller_tagger_is_judged_by_whole_entities(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "small"
    words = ["compress", str(folder / "run"), "--try", "int8", "--goal", "size <= 0.9x, drop <= 5%", "--out", str(out)]
    assert main(words) == 0, capsys.readouterr().err
    table = json.loads((out / "report.json").read_text())["compression"]
    measured = json.loads((out / "report.json").read_text())["metrics"]["test"]["tag"]["f1"]["value"]
    chosen = next(one for one in table["candidates"] if one["name"] == table["chosen"])
    assert chosen["drop"]["tag"]["after"] == pytest.approx(measured)
    assert os.path.getsize(out / "model.onnx") < os.path.getsize(folder / "exported" / "model.onnx")
    (answer,) = ceiba.open(out).predict([{"word": ["Otto", "lives", "in", "Rome"]}])
    assert answer["tag_entities"] == [{"type": "PER", "start": 0, "end": 1}, {"type": "LOC", "start": 3, "end": 4}]


def test_rows_without_an_entity_decide_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "none.txt").write_text("In O\nlives O\n\nlives O\n. O\n")
    words = ["compress", str(folder / "exported"), "--try", "int8", "--data", str(folder / "none.txt")]
    assert main([*words, "--out", str(folder / "none")]) == 2
    assert "must hold an entity of 'tag'. Got none" in capsys.readouterr().err
    assert not (folder / "none").exists()
