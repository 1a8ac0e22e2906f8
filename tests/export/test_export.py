"""`ceiba export`: a trained bundle → one that answers alike without torch, and says whose child it is."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import ceiba
from ceiba.base.errors import BundleError
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.predict import open_onnx, relative_error
from ceiba.predict.parity import pack, unpack

WORDS = {"good": ["fine", "lovely", "great"], "bad": ["awful", "dull", "poor"]}
RECIPE = """
data: {train: rows.csv}
inputs:
  age: number
  city: category
  review: {type: text, tokenizer: word, encoder: {type: gru, width: 8}}
outputs: {kind: category, score: number}
model: {dim: 16}
train: {epochs: 2, batch_rows: 32}
evaluate: {baselines: false}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table with a text, two answers."""
    folder = tmp_path_factory.mktemp("work")
    random = np.random.default_rng(0)
    lines = ["age,city,review,kind,score"]
    for row in range(160):
        kind = "good" if row % 2 else "bad"
        review = " ".join(random.choice([*WORDS[kind], "the", "film"], random.integers(1, 9)))
        lines.append(
            f"{random.integers(18, 80)},{random.choice(['Rome', 'Oslo'])},{review},{kind},{random.normal():.3f}"
        )
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    ceiba.train(folder / "recipe.yaml", out=folder / "run")
    return folder


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The same run with its export in its default place, by the command as a process of its own."""
    subprocess.run([sys.executable, "-m", "ceiba", "export", str(trained / "run"), "--to", "onnx"], check=True)
    return trained


def test_it_answers_as_its_parent_and_names_it(exported: Path) -> None:
    parent, child = open_bundle(exported / "run"), open_bundle(exported / "run" / "onnx")
    assert child.parents == [{"identity": parent.identity, "kind": parent.kind}]
    assert not (child.folder / "weights.safetensors").exists()
    rows = ceiba.read(exported / "rows.csv")
    first, second = ceiba.open(parent.folder).logits(rows), ceiba.open(child.folder).logits(rows)
    for name, logits in first.items():
        assert relative_error(second[name], logits) < 1e-5
    report = json.loads(child.read("parity.json"))
    assert report["real_rows"] == 64
    assert {case["kind"] for case in report["cases"]} == {"real", "random"}
    assert report["worst"]["kind"] < report["tolerance"] == 1e-4


def test_the_inputs_have_named_open_axes(exported: Path) -> None:
    session = open_onnx(open_bundle(exported / "run" / "onnx")).session
    shapes = {one.name: one.shape for one in session.get_inputs()}
    assert shapes == {
        "table.numbers": ["batch", 1], "table.codes": ["batch", 1], "review.ids": ["batch", "review.tokens"],
    }  # fmt: skip
    assert {one.name: one.shape[0] for one in session.get_outputs()} == {"kind": "batch", "score": "batch"}


def test_it_predicts_without_torch(exported: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from ceiba.cli import main; "
        "sys.exit(main(['predict', 'run/onnx', 'rows.csv', '--out', 'answers.parquet']))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=exported, check=True)
    assert pq.read_table(exported / "answers.parquet").num_rows == 160


def test_a_place_that_is_taken_and_an_unknown_target(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(exported / "run")]) == 2
    assert "must not exist" in capsys.readouterr().err
    assert main(["export", str(exported / "run"), "--to", "tflite"]) == 2
    assert main(["export", str(exported / "run" / "onnx"), "--out", str(exported / "again")]) == 2
    assert "weights" in capsys.readouterr().err
    assert not (exported / "again").exists()


def test_without_the_training_data_it_says_so(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (exported / "run" / "onnx" / "model.onnx").read_bytes()
    monkeypatch.setattr("ceiba.export.bundle.onnx_bytes", lambda *_: known)  # spares a second export
    shutil.copytree(exported / "run" / "bundle", tmp_path / "alone")
    assert main(["export", str(tmp_path / "alone"), "--json"]) == 0
    printed = capsys.readouterr().out
    assert "no longer where the recipe says" in printed
    figures = json.loads(printed.splitlines()[-1])
    assert figures["bundle"] == str(tmp_path / "alone-onnx")
    assert figures["real_rows"] == 0


def test_a_failing_gate_leaves_nothing(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ceiba.export.bundle.onnx_bytes", lambda *_: b"")
    monkeypatch.setattr("ceiba.export.bundle.OnnxBackend", lambda *_, **__: lambda parts: {})
    assert main(["export", str(exported / "run"), "--out", str(tmp_path / "out")]) == 1
    assert list(tmp_path.iterdir()) == []


def test_kept_rows_that_no_longer_hold_are_refused_when_opened(exported: Path, tmp_path: Path) -> None:
    bundle = open_bundle(exported / "run" / "onnx")
    report = json.loads(bundle.read("parity.json"))
    outputs = report["kept"]["outputs"]
    outputs["score"] = pack(unpack(outputs["score"]) * np.float32(1.1))
    copy = tmp_path / "copy"
    shutil.copytree(bundle.folder, copy)
    (copy / "parity.json").write_text(json.dumps(report))
    altered = type(bundle)(copy, bundle.meta, bundle.fields_json, bundle.recipe_text)
    with pytest.raises(BundleError, match=r"answer on this machine.*'score'"):
        open_onnx(altered)
    for broken in ("{}", "[]", "no json", '{"kept": {"tolerance": 1, "inputs": {"a": {"dtype": "O"}}}}'):
        (copy / "parity.json").write_text(broken)
        with pytest.raises(BundleError, match="kept rows"):
            open_onnx(altered)


def test_to_torch_gives_a_program_that_plain_torch_runs(trained: Path, tmp_path: Path) -> None:
    assert main(["export", str(trained / "run"), "--to", "torch", "--out", str(tmp_path / "program")]) == 0
    signature = json.loads((tmp_path / "program" / "signature.json").read_text())
    assert signature["inputs"]["review.ids"]["shape"] == ["batch", "review.tokens"]
    predictor = ceiba.open(trained / "run")
    rows = ceiba.read(trained / "rows.csv").head(3).combine_chunks().to_batches()[0]
    parts = {
        name: part if isinstance(part, np.ndarray) else part.pad() for name, part in predictor.encode(rows).items()
    }
    expected = predictor.backend(parts)
    np.savez(tmp_path / "parts.npz", **parts)
    code = (
        "import numpy, torch; parts = numpy.load('parts.npz'); "
        "inputs = {name: torch.from_numpy(parts[name]) for name in parts}; "
        "module = torch.export.load('program/model.pt2').module(check_guards=False); "
        "numpy.savez('answers.npz', **{name: one.detach().numpy() for name, one in module(inputs=inputs).items()})"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)
    found = np.load(tmp_path / "answers.npz")
    for name, logits in expected.items():
        assert relative_error(found[name], logits) < 1e-4
