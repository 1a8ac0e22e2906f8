"""A language model whose matrices are kept in fewer bits: what the file holds, and what compressing makes of it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import ceiba
from ceiba.base.errors import BundleError
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.compress.language import language_model, perplexity_growth, rounded
from ceiba.evaluate.gather import Scored
from ceiba.generate import open_generator
from ceiba.model import load_weights, open_model
from ceiba.surgery.packed import Int4Linear, Int8Linear
from ceiba.surgery.stored import fits, narrowed, widened

RECIPE = """
data: {train: text.txt, format: txt, split: {train: 0.8, valid: 0.2}}
outputs:
  text: {type: text, tokenizer: character, max_tokens: 16, head: next_token}
model: {size: nano}
train: {steps: 40, batch_rows: 16, optimizer: {lr: 0.004}}
evaluate: {baselines: false}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    random = np.random.default_rng(0)
    words = ["the cat", "a dog", "the bird", "sits", "runs", "sings", "here", "there", "again"]
    lines = [" ".join(random.choice(words[at : at + 3]) for at in (0, 3, 6)) for _ in range(800)]
    lines[::9] = [""] * len(lines[::9])  # which are a part of the text
    (folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    ceiba.train(folder / "recipe.yaml", out=folder / "run")
    return folder


@pytest.fixture(scope="module")
def small(trained: Path) -> Path:
    words = ["compress", str(trained / "run"), "--goal", "size <= 0.6x, drop <= 50%", "--try", "int4"]
    assert main([*words, "--out", str(trained / "small")]) == 0
    return trained / "small"


def test_codes_by_hand() -> None:
    weight = torch.tensor([[1.27, -0.635, 0.004], [0.0, 0.0, 0.0]])
    found = narrowed("a.weight", weight, "int8")
    assert found["a.weight.int8"].tolist() == [[127, -64, 0], [0, 0, 0]]  # -63.5 goes to the even one
    torch.testing.assert_close(found["a.weight.scale"][0], torch.tensor(0.01))
    block = torch.zeros(1, 32)
    block[0, :3] = torch.tensor([-4.0, 3.6, 0.3])
    found = narrowed("a.weight", block, "int4")
    assert found["a.weight.int4"].shape == (1, 1, 16)
    assert found["a.weight.int4"].flatten()[:2].tolist() == [0 | (15 << 4), 9 | (8 << 4)]  # -8, 7; 1, 0
    torch.testing.assert_close(widened(found)["a.weight"][0, :4], torch.tensor([-4.0, 3.5, 0.5, 0.0]))
    assert not fits("int4", torch.zeros(2, 33))
    assert not fits("int8", torch.zeros(2))


@pytest.mark.parametrize("form", ["float16", "int8", "int4"])
def test_rounding_again_changes_nothing(form: str) -> None:
    weight = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
    once = narrowed("w", weight, form)  # type: ignore[arg-type]
    wide = widened(once)["w"].float()
    assert 0 < float((wide - weight).abs().max()) < {"float16": 2e-3, "int8": 0.02, "int4": 0.35}[form]
    again = narrowed("w", wide, form)  # type: ignore[arg-type]
    assert all(torch.equal(once[name], again[name]) for name in once if not name.endswith("scale"))
    if form != "float16":
        layers = []
        for one in (weight, wide):
            linear = nn.Linear(64, 48, bias=False)
            linear.weight = nn.Parameter(one)
            layers.append((Int8Linear if form == "int8" else Int4Linear)(linear))
        values = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(layers[0](values), layers[1](values), rtol=1e-5, atol=1e-5)


def test_growth_of_perplexity_weighs_texts_by_their_tokens() -> None:
    truth = np.array([[3.0, 10.0], [1.0, 5.0], [np.nan, np.nan]])
    before = Scored("text", (), 0.5, truth, np.array([1.0, 2.0, 9.0]))
    found = perplexity_growth(before, before.with_scores(np.array([1.1, 2.0, 1.0])))
    assert found["value"] == pytest.approx(100 * (math.exp(0.075) - 1), rel=1e-4)
    assert (found["before"], found["after"]) == (pytest.approx(1.25), pytest.approx(1.325))
    assert found["low"] <= found["value"] <= found["high"]


def test_the_file_is_small_and_the_model_writes_with_what_it_holds(
    trained: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(small)
    tensors = load_file(bundle.weights_path)
    assert bundle.meta["compressed"]["by"] == "int4"
    assert sum(name.endswith(".int4") for name in tensors) >= 8
    before = open_bundle(trained / "run").weights_path.stat().st_size
    assert bundle.weights_path.stat().st_size < 0.3 * before
    monkeypatch.setattr("ceiba.generate.weights.step_seconds", lambda model, output, rows: 1.0)  # none is slower
    generator = open_generator(bundle, 1)
    assert generator.weights == "int4"
    assert generator.generate("the ", max_tokens=8, temperature=0.0).text
    assert bundle.report is not None
    told = bundle.report["metrics"]["valid"]["text"]["loss"]["value"]
    row = next(one for one in bundle.report["compression"]["candidates"] if one["name"] == "int4")
    assert told == pytest.approx(row["drop"]["text"]["after"], abs=1e-4)
    assert row["drop"]["text"]["after"] != row["drop"]["text"]["before"]
    assert "Smaller and faster" in bundle.read("report.html").decode()
    found, first = (
        ceiba.evaluate(ceiba.open(one), trained / "text.txt")["metrics"]["test"]["text"]["loss"]["value"]
        for one in (small, trained / "run")
    )
    assert found == pytest.approx(first, rel=0.1)


def test_every_form_is_measured(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compress", str(trained / "run"), "--goal", "size <= 0.3x, drop <= 50%", "--json"]
    assert main([*words, "--out", str(trained / "all")]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {row["name"]: row for row in figures["candidates"]}
    assert list(rows) == ["half", "int8", "int4"]
    assert rows["half"]["verdict"] == "misses the goal"
    assert 0.49 < rows["half"]["ratios"]["size"] < 0.56
    sizes = [row["ratios"]["size"] for row in rows.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert figures["chosen"] == "int4"
    report = open_bundle(trained / "run").report
    assert report is not None
    first = report["metrics"]["valid"]["text"]["loss"]["value"]
    assert rows["half"]["drop"]["text"]["before"] == pytest.approx(first, rel=1e-5)  # the same texts as in training
    errors = [abs(row["drop"]["text"]["value"]) for row in rows.values()]
    assert 0 < errors[0] < 0.01 < errors[2]
    assert rows["int8"]["p99_ms"] >= rows["int8"]["latency_ms"] > 0


def test_what_is_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", str(trained / "run"), "--try", "pruned", "--out", str(tmp_path / "a")]) == 2
    assert "of a language model" in capsys.readouterr().err
    words = ["compress", str(trained / "run"), "--goal", "size <= 0.01x", "--out", str(tmp_path / "b")]
    assert main(words) == 1
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"report.json", "report.html"}


@pytest.mark.parametrize("damage", ["no scale", "another scale", "one scale", "other codes"])
def test_codes_without_their_scales_are_refused(trained: Path, tmp_path: Path, damage: str) -> None:
    bundle = open_bundle(trained / "run")
    writing = language_model(bundle)
    assert writing is not None
    content, _ = rounded(writing, "int8")
    (tmp_path / "weights.safetensors").write_bytes(content)
    tensors = load_file(tmp_path / "weights.safetensors")
    name = next(one.removesuffix(".int8") for one in tensors if one.endswith(".int8"))
    if damage == "no scale":
        del tensors[f"{name}.scale"]
    elif damage == "another scale":
        tensors[f"{name}.scale"] = tensors[f"{name}.scale"][:-1].clone()
    elif damage == "one scale":
        tensors[f"{name}.scale"] = torch.tensor(1.0)
    else:
        tensors[f"{name}.int8"] = tensors[f"{name}.int8"][:, :-1].clone()
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(BundleError):
        load_weights(open_model(bundle), tmp_path / "weights.safetensors")


def test_codes_cannot_grow_into_more_than_they_are() -> None:
    for name, codes, scale in (
        ("w.int8", torch.zeros(4, dtype=torch.int8), torch.ones(9)),  # which would make 36 numbers
        ("w.int4", torch.zeros(1, 1, 16, dtype=torch.uint8), torch.ones(9, 9)),
    ):
        with pytest.raises(ValueError, match="a scale for each"):
            widened({name: codes, "w.scale": scale})
