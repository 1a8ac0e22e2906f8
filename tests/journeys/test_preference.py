"""Preferences: what is preferred rises on held-out prompts, and does not where a coin says what is better."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import ceiba
from bench import chat as letters
from bench.chat import Size, prefer, teach
from ceiba.cli import main

SMALL = Size(texts=400, chats=1000, pairs=400, asked=100)
CHATS = {"epochs": 6, "batch_rows": 8, "optimizer": {"lr": 0.004}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("letters")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """All stages of the measurement, in small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letters, "CHATS", {**letters.CHATS, "train": CHATS})
        start, stages = teach(folder, SMALL)
        return stages | prefer(folder, SMALL, start)


def test_chats_teach_the_form_of_an_answer_and_its_end(found: dict[str, Any]) -> None:
    assert found["base"]["well formed"] < 0.05
    assert found["chats"]["well formed"] > 0.8
    assert 0.3 < found["chats"]["in tone"] < 0.7


def test_what_is_preferred_rises_and_does_not_by_a_coin(found: dict[str, Any]) -> None:
    both, coin = found["preferences"]["prefers"], found["preferences by a coin"]["prefers"]
    assert both["start"] == coin["start"]
    assert both["start"]["accuracy"]["low"] < 0.65
    assert both["tuned"]["accuracy"]["low"] > max(0.9, both["start"]["accuracy"]["high"])
    assert both["tuned"]["margin"]["low"] > both["start"]["margin"]["high"] + 1
    assert found["preferences"]["in tone"] > 0.85
    assert found["preferences"]["well formed"] > 0.85
    assert coin["tuned"]["accuracy"]["value"] < 0.75
    assert found["preferences by a coin"]["in tone"] < 0.7


def test_the_bundle_tells_measures_and_writes(
    found: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = found["preferences"]["prefers"]["tuned"]
    report = json.loads((folder / "preferences" / "bundle" / "report.json").read_text())
    assert report["compared"]["test"]["pair"]["constant"]["low"] > 1, "how far it moved from where it began"
    assert report["history"][-1]["valid_pair_reward_accuracy"] > 0.9
    assert main(["evaluate", str(folder / "preferences"), str(folder / "held.jsonl"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["test"]["pair"]
    assert again["accuracy"]["value"] == pytest.approx(tuned["accuracy"]["value"])
    out = folder / "answers.parquet"
    assert main(["predict", str(folder / "preferences"), str(folder / "held.jsonl"), "--out", str(out)]) == 0
    row = pq.read_table(out).to_pylist()[0]
    assert row["pair"] == ("chosen" if row["pair_chosen"] > row["pair_rejected"] else "rejected")
    assert main(["chat", str(folder / "preferences"), "--message", "QXB?", "--weights", "plain"]) == 0


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"from": None}, "preference teaches a model that answers already"),
        ({"outputs": {"pair": {"type": "text", "head": "preference"}}}, "must be chats for preference"),
        ({"data": {"clean": [{"chat": {"pair": ["prompt", "chosen"]}}]}}, "must have two answers"),
    ],
)
def test_what_cannot_be_preferred_is_told(
    found: dict[str, Any], folder: Path, change: dict[str, object], rule: str
) -> None:
    base = folder / "chats" / "bundle"
    recipe = {**letters.PAIRS, "from": str(base)}
    clean = [{"chat": {"pair": ["prompt", "chosen", "rejected"]}}]
    data = {"train": letters.pairs(folder / "few.jsonl", 20), "clean": clean}
    changed = {**recipe, "data": data, **change}
    changed["data"] = {**data, **change.get("data", {})}  # type: ignore[dict-item]
    with pytest.raises(ceiba.CeibaError, match=rule):
        ceiba.train({name: one for name, one in changed.items() if one is not None}, out=folder / "wrong")
