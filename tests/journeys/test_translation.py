"""Texts that are written: a toy language that is really learnt, and captions of Multi30k from two files of lines."""

import gzip
import random
from pathlib import Path

import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import sacrebleu

import ceiba
from ceiba.base.errors import RecipeError
from ceiba.cli import main

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "multi30k_en_de"
PAPERS = DATA.with_name("scitldr")
WORDS = {"red": "rot", "old": "alt", "big": "Groß", "car": "Auto", "dog": "Hund", "sea": "Meer", "tea": "Tee"}


def rows(count: int, seed: int) -> list[dict[str, str]]:
    """Texts of one to four words, and each word's own translation in the opposite order."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        words = draw.choices(list(WORDS), k=draw.randint(1, 4))
        found.append({"en": " ".join(words), "de": " ".join(WORDS[word] for word in reversed(words))})
    return found


def recipe(**output: object) -> dict[str, object]:
    own = {"type": "word", "lowercase": False, "min_count": 1}
    tokenizer = {} if "share" in output else {"tokenizer": own}
    head = {"type": "sequence", "layers": 1, "dropout": 0.0}
    encoder = {"type": "transformer", "layers": 1, "dropout": 0}
    return {
        "data": {"train": rows(900, 0), "valid": rows(60, 1), "test": rows(120, 2)},
        "inputs": {"en": {"type": "text", "tokenizer": own, "encoder": encoder}},
        "outputs": {"de": {"type": "text", "head": head, **tokenizer, **output}},
        "model": {"dim": 32},
        "train": {"epochs": 10, "batch_rows": 16, "threads": 1, "optimizer": {"lr": 0.004}},
    }  # fmt: skip


@pytest.mark.parametrize("output", [{}, {"share": "en"}, {"head": {"type": "sequence_gru", "dropout": 0.0}}])
def test_a_toy_language_is_learnt(tmp_path: Path, output: dict[str, object]) -> None:
    run = ceiba.train(recipe(**output), out=tmp_path / "run")
    measured = run.report["metrics"]["test"]["de"]
    assert measured["bleu"]["value"] > 90
    assert measured["bleu"]["low"] <= measured["bleu"]["value"] <= measured["bleu"]["high"]
    assert run.report["baselines"]["test"]["de"]["constant"]["bleu"]["value"] < 10
    assert not any("classes" in note or "labels" in note for note in run.report["notes"])
    test = rows(120, 2)
    predictor = ceiba.open(tmp_path / "run")
    answers = predictor.predict([{"en": row["en"]} for row in test])
    again = sacrebleu.corpus_bleu([one["de"] for one in answers], [[row["de"] for row in test]]).score
    assert measured["bleu"]["value"] == pytest.approx(again)
    assert all(one["de_score"] <= 0 for one in answers)
    for sample in run.report["samples"]:
        row = sample["row"]
        assert sample["inputs"] == {"en": test[row]["en"]}
        assert sample["outputs"]["de"] == {"answer": answers[row]["de"], "truth": test[row]["de"]}
    assert [one["why"] for one in run.report["samples"][:3]] == ["typical"] * 3
    for one, row in zip(answers[:5], test[:5], strict=True):  # alone as among others
        alone = predictor.predict({"en": row["en"]})
        assert alone["de"] == one["de"]
        assert alone["de_score"] == pytest.approx(one["de_score"], abs=1e-4)
    shared = [name for name in predictor.backend.model.state_dict() if "embedding" in name]
    assert len(shared) == (1 if "share" in output else 2)


def test_captions_are_learnt_from_two_files_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not DATA.is_dir():
        pytest.skip("needs multi30k_en_de")
    monkeypatch.chdir(tmp_path)
    for part, name, count in (("train", "train", 300), ("val", "val", 40), ("test", "test_2016_flickr", 40)):
        for side in ("en", "de"):
            with gzip.open(DATA / f"{name}.{side}.gz", "rt", encoding="utf-8") as file:
                Path(f"{part}.{side}").write_text("".join(line for line, _ in zip(file, range(count), strict=False)))
    own = Path(__file__).resolve().parents[2] / "recipes" / "multi30k.yaml"
    short = [
        "train.epochs=3", "train.threads=1", "train.ema=0", "train.schedule.warmup_steps=0", "train.precision=fp32",
        "train.optimizer.lr=0.003", "train.batch_rows=16", "model.dim=64", "inputs.en.tokenizer.vocab=600",
        "outputs.de.head.beams=2",
    ]  # fmt: skip
    short += [f"data.{key}={{en: {Path.cwd()}/{part}.en, de: {Path.cwd()}/{part}.de}}"
              for key, part in (("train", "train"), ("valid", "val"), ("test", "test"))]  # fmt: skip
    assert main(["train", str(own), "--out", "run", *(word for one in short for word in ("--set", one))]) == 0
    run = ceiba.open("run")
    assert run.predict({"en": "A man in a blue shirt."})["de"].startswith("Ein")
    Path("lines.txt").write_text("A dog runs.\nTwo men, one in red, are talking.\n")
    assert main(["predict", "run", "lines.txt", "--out", "answers.csv"]) == 0
    assert csv.read_csv("answers.csv").column_names == ["de", "de_score"]
    report = Path("run/bundle/report.html").read_text()
    assert "BLEU" in report
    assert "Rows and answers" in report
    assert not {"✓", "✗"} & set(report)  # a text that differs from the true one may be as good
    capsys.readouterr()
    assert main(["export", "run", "--to", "onnx", "--out", "exported"]) == 1
    assert "written token by token" in capsys.readouterr().err


def test_abstracts_are_told_in_a_sentence_beside_their_own_first_one(tmp_path: Path) -> None:
    if not PAPERS.is_dir():
        pytest.skip("needs scitldr")
    own = Path(__file__).resolve().parents[2] / "recipes" / "scitldr.yaml"
    for part, count in (("train", 48), ("dev", 12), ("test", 12)):
        pq.write_table(pq.read_table(PAPERS / f"{part}.parquet").slice(0, count), tmp_path / f"{part}.parquet")
    short = [
        "train.epochs=2", "train.threads=1", "train.precision=fp32", "model.dim=32", "inputs.article.encoder.width=32",
        "inputs.article.tokenizer.vocab=500", "inputs.article.max_tokens=64", "outputs.summary.max_tokens=16",
        "outputs.summary.head.beams=2", *(f"data.{key}={tmp_path}/{part}.parquet" for key, part in (
            ("train", "train"), ("valid", "dev"), ("test", "test"))),
    ]  # fmt: skip
    report = ceiba.train(own, out=tmp_path / "run", overrides=short).report
    assert 0 <= report["metrics"]["test"]["summary"]["rouge_l"]["value"] <= 1
    beside = report["baselines"]["test"]["summary"]
    assert beside["quick"]["rouge_l"]["value"] > beside["constant"]["rouge_l"]["value"] > 0.05
    assert report["baseline_models"]["summary"]["quick"]["model"] == "the first sentence of 'article'"
    assert ceiba.open(tmp_path / "run").predict({"article": "We show a new net."})["summary_score"] < 0


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"share": "fr"}, "must share the tokens of an input"),
        ({"share": "en", "tokenizer": "bpe"}, "must share the tokens of an input"),
        ({"tokenizer": "ngrams"}, "tokens in reading order"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, output: dict[str, object], message: str) -> None:
    given = recipe()
    given["outputs"] = {"de": {"type": "text", "head": "sequence", **output}}
    with pytest.raises(RecipeError, match=message):
        ceiba.train(given, out=tmp_path / "run")
