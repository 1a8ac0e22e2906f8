"""A language model: raw text → measured bundle → how probable texts are."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import ceiba
from ceiba.cli import main

SENTENCE = "the cat sat on the mat and the dog sat on the log"
RECIPE = """
data: {{train: {data}}}
outputs: {{text: {{type: text, tokenizer: {tokenizer}, max_tokens: 16}}}}
model: {model}
train: {{epochs: {epochs}, batch_rows: 8, optimizer: {{lr: 0.01}}}}
"""
TRANSFORMER = "{dim: 32, trunk: {type: transformer, layers: 1, heads: 2}}"
LSTM = "{dim: 32, text: {type: lstm, width: 32}}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [" ".join(SENTENCE.split()[place % 5 :]) for place in range(80)]
    (tmp_path / "story.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"text": line, "n": 1}) + "\n" for line in lines))
    (tmp_path / "other.jsonl").write_text(
        "".join(json.dumps({"text": line}) + "\n" for line in (SENTENCE, "xq zz kv", "", SENTENCE * 4))
    )
    return tmp_path


@pytest.mark.parametrize(
    ("data", "tokenizer", "model", "epochs"),
    [("story.txt", "character", TRANSFORMER, 6), ("notes.jsonl", "{type: bpe, vocab: 300}", LSTM, 20)],
)
def test_from_raw_text_to_probabilities(
    folder: Path, data: str, tokenizer: str, model: str, epochs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPE.format(data=data, tokenizer=tokenizer, model=model, epochs=epochs)
    (folder / "recipe.yaml").write_text(recipe)
    assert main(["train", "recipe.yaml", "--out", "run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    figures = told["metrics"]["test"]["text"]
    assert set(figures) == {"loss", "perplexity", "bits_per_byte"}
    assert 1 < figures["perplexity"]["low"] <= figures["perplexity"]["value"] < 4
    constant = told["baselines"]["test"]["text"]["constant"]
    assert figures["loss"]["value"] < constant["loss"]["value"] / 2

    written = [json.loads(line) for line in Path("run/samples.jsonl").read_text().splitlines()]
    assert {one["step"] for one in written} > {written[0]["step"]}
    assert any(word in written[-1]["text"] for word in ("the", "sat", "log"))

    assert main(["predict", "run", "other.jsonl", "--out", "answers.parquet"]) == 0
    answers = pq.read_table("answers.parquet").to_pylist()
    assert answers[0]["text_perplexity"] < 4 < answers[1]["text_perplexity"]
    assert answers[2]["text_tokens"] == 0 or answers[2]["text"] == 0
    assert answers[3]["text_tokens"] > 3 * answers[0]["text_tokens"], "a long text is not cut"
    assert main(["evaluate", "run", data, "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["test"]["text"]
    assert again["perplexity"]["value"] < 4


def test_an_encoder_learns_to_tell_hidden_tokens(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = RECIPE.format(data="notes.jsonl", tokenizer="word", model=TRANSFORMER, epochs=20)
    (folder / "recipe.yaml").write_text(recipe)
    assert main(["train", "recipe.yaml", "--out", "run", "--json", "--set", "outputs.text.head=masked"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    figures = told["metrics"]["test"]["text"]
    assert set(figures) == {"loss", "perplexity"}
    assert figures["loss"]["value"] < told["baselines"]["test"]["text"]["constant"]["loss"]["value"] / 2
    assert main(["predict", "run", "other.jsonl", "--out", "answers.parquet"]) == 0
    answers = pq.read_table("answers.parquet").to_pylist()
    assert answers[0]["text_tokens"] == 2
    assert answers[2]["text_tokens"] == 0
    assert answers[0]["text_perplexity"] < 4


def test_choices_are_answered_by_the_most_probable_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = RECIPE.format(data="notes.jsonl", tokenizer="character", model=TRANSFORMER, epochs=6)
    (folder / "recipe.yaml").write_text(recipe)
    assert main(["train", "recipe.yaml", "--out", "run"]) == 0
    rows = [
        {"prompt": "the cat sat on", "choices": ["the mat", "zq kvx"], "answer": 0},
        {"prompt": "and the dog sat on", "choices": ["xxxxxxx", "the log", "vvqqz"], "answer": "the log"},
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    capsys.readouterr()
    assert main(["evaluate", "run", "questions.jsonl", "--choices", "choices", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["metrics"]["test"]["answer"]["accuracy"]["value"] == 1
    assert told["metrics"]["test"]["answer"]["accuracy_by_bytes"]["value"] == 1
    assert told["baselines"]["test"]["answer"]["constant"]["accuracy"]["value"] == pytest.approx(5 / 12)
    (folder / "questions.jsonl").write_text(json.dumps(rows[0] | {"answer": 2}) + "\n")
    assert main(["evaluate", "run", "questions.jsonl", "--choices", "choices"]) == 2
    assert "row 1 must have choices and the right one of them. Got 2." in capsys.readouterr().err


def test_the_recipe_in_the_bundle_gives_the_same_weights(folder: Path) -> None:
    recipe = RECIPE.format(data="story.txt", tokenizer="{type: unigram, vocab: 60}", model=TRANSFORMER, epochs=1)
    (folder / "recipe.yaml").write_text(recipe)
    first = ceiba.train("recipe.yaml", out="a")
    second = ceiba.train(first.bundle.folder / "recipe.yaml", out="b")
    assert first.bundle.read("weights.safetensors") == second.bundle.read("weights.safetensors")
    assert first.report["metrics"] == second.report["metrics"]


def test_what_a_language_model_cannot_be_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for change, rule in (
        ("inputs={n: number}", "its own input"),
        ("outputs.text.tokenizer=ngrams", "reading order"),
        ("model.trunk={type: transformer, causal: false}", "look ahead"),
        ("model.text={type: lstm, bidirectional: true}", "look ahead"),
    ):
        (folder / "recipe.yaml").write_text(RECIPE.format(data="notes.jsonl", tokenizer="bpe", model="{}", epochs=1))
        assert main(["train", "recipe.yaml", "--out", "run", "--set", change]) == 2
        assert rule in capsys.readouterr().err


def test_from_words_in_columns_to_entities(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"Ada": "B-PER", "Lima": "B-LOC", "Oslo": "B-LOC", "Grace": "B-PER"}
    lines = []
    for place in range(120):
        words = [list(names)[place % 4], "went", "to", list(names)[(place + 1) % 4], "again"][: 3 + place % 3]
        lines += [f"{word} {names.get(word, 'O')}\n" for word in words] + ["\n"]
    (folder / "names.conll").write_text("".join(lines))
    (folder / "recipe.yaml").write_text("""
data: {train: names.conll}
inputs: {token: {type: words, encoder: {type: gru, width: 16}}}
outputs: {tag: tags}
train: {epochs: 8, batch_rows: 8, optimizer: {lr: 0.02}, watch: metric}
""")
    assert main(["train", "recipe.yaml", "--out", "run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["metrics"]["test"]["tag"]["f1"]["value"] > 0.9
    assert told["baselines"]["test"]["tag"]["constant"]["f1"]["value"] == 0
    assert main(["predict", "run", "names.conll", "--out", "tags.csv"]) == 0
    first = next(csv.DictReader((folder / "tags.csv").read_text(encoding="utf-8").splitlines()))
    assert first["tag"] == "B-PER;O;O"
    sample = json.loads(Path("run/bundle/report.json").read_text())["samples"][0]
    words = sample["inputs"]["token"].split(" ")
    truth = ", ".join(f"{word} {names[word]}" for word in words if word in names)
    assert sample["outputs"]["tag"] == {"answer": truth, "truth": truth}
    assert json.loads(first["tag_entities"]) == [{"type": "PER", "start": 0, "end": 1}]
    bad = [{"token": ["a", "b"], "tag": ["O", "B-X"]}, {"token": ["a", "b"], "tag": ["O"]}]
    (folder / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    sets = [word for part in ("train", "valid", "test") for word in ("--set", f"data.{part}=bad.jsonl")]
    assert main(["train", "recipe.yaml", "--out", "other", *sets]) == 2
    assert "a tag for each word of 'token'. Got 1 tags, 2 words" in capsys.readouterr().err
