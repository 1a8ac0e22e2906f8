"""Chats: a language model → one that answers, by the template that it was taught with."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ceiba
from ceiba.cli import main
from ceiba.generate import open_generator
from ceiba.generate.options import GenerateOptions

BASE = """
data: {train: texts.jsonl}
outputs: {text: {type: text, tokenizer: byte, max_tokens: 48, head: {type: next_token, tied: false}}}
model: {dim: 32, trunk: {type: transformer, layers: 1, heads: 2}}
train: {epochs: 20, batch_rows: 8, optimizer: {lr: 0.01}}
"""
TUNED = """
from: base
data: {train: chats.parquet}
outputs: {talk: chat}
train: {epochs: 12, batch_rows: 4, optimizer: {lr: 0.01}}
"""
ANSWERS = {"cat": "miau", "dog": "wuff", "cow": "muh", "hen": "gack"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    texts = [f"the {one} says {sound}" for one, sound in ANSWERS.items()] * 20
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    chats = [
        [{"role": "user", "content": one}, {"role": "assistant", "content": sound}] for one, sound in ANSWERS.items()
    ]
    pq.write_table(pa.table({"talk": chats * 30}), tmp_path / "chats.parquet")
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "tuned.yaml").write_text(TUNED)
    return tmp_path


@pytest.mark.parametrize("adapt", ["full", "{type: lora, rank: 8, targets: [query, key, value, out]}"])
def test_a_language_model_learns_to_answer_and_to_stop(
    folder: Path, adapt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ceiba.train("base.yaml", out="base")
    run = ceiba.train("tuned.yaml", out="tuned", overrides=[f"adapt={adapt}"])
    assert [parent["identity"] for parent in run.bundle.parents] == [base.bundle.identity]
    notes = run.report["notes"]
    assert any(note.startswith("96 training chats of 'talk' stand in") for note in notes), notes
    figures = run.report["metrics"]["test"]["talk"]
    assert 1 < figures["perplexity"]["value"] < 1.5

    generator = open_generator(run.bundle, weights="plain")
    template = generator.voice(None).template
    assert template is not None
    for one, sound in ANSWERS.items():
        found = generator.generate_each(
            [generator.chat([{"role": "user", "content": one}])], [GenerateOptions(max_tokens=12)]
        )[0]
        assert (found.text, found.finish) == (sound, "stop"), one
    template.close()
    assert main(["chat", "tuned", "--message", "cat", "--message", "hen", "--weights", "plain"]) == 0
    assert capsys.readouterr().out.split() == ["miau", "gack"]
    assert main(["export", "tuned", "--to", "onnx"]) == 1
    assert "must answer rows. Got chats. Serve the trained bundle" in capsys.readouterr().err
    assert main(["predict", "tuned", "chats.parquet", "--out", "answers.parquet"]) == 0
    answers = pq.read_table("answers.parquet").to_pylist()
    assert [one["talk_tokens"] for one in answers[:4]] == [len(sound) + 1 for sound in ANSWERS.values()]


def test_a_recurrent_net_has_each_chat_in_a_row_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = TUNED.replace("from: base\n", "model: {dim: 32, text: {type: lstm, width: 32}}\n")
    (folder / "lstm.yaml").write_text(recipe.replace("epochs: 12", "epochs: 1"))
    run = ceiba.train("lstm.yaml", out="lstm")
    assert "pack: false" in run.bundle.recipe_text
    assert not any("stand in" in note for note in run.report["notes"])
    capsys.readouterr()
    assert main(["train", "lstm.yaml", "--out", "other", "--set", "outputs.talk.pack=true"]) == 2
    assert "Chats of one row need a network that keeps them apart. Got lstm" in capsys.readouterr().err
