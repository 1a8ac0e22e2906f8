"""Training that begins with another model: what is taken, what is trained, and the bundle that comes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ceiba
from ceiba.adapt import merge, open_origin
from ceiba.base.errors import BundleError, InputError, RecipeError
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.cli.opening import open_model as open_predictor
from ceiba.families import open_folder
from ceiba.model import Model, open_model
from ceiba.run import Run
from ceiba.train.optimizers import parameter_groups

Pretrained = Callable[[str], Path]
TRAIN = {"epochs": 2, "batch_rows": 16, "threads": 1}


def train(news: dict[str, Any], out: Path, origin: Path, adapt: Any = None, **more: Any) -> Run:
    recipe = {**news, "from": str(origin), "train": TRAIN, **({"adapt": adapt} if adapt else {}), **more}
    run = ceiba.train(recipe, out=out)
    assert isinstance(run, Run)
    return run


def state(bundle: Path) -> dict[str, torch.Tensor]:
    return open_model(open_bundle(bundle)).state_dict()


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in after.items() if name in before and not torch.equal(value, before[name])}


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_frozen_trains_the_head_alone(
    family: str, pretrained: Pretrained, news: dict[str, Any], tmp_path: Path
) -> None:
    folder = pretrained(family)
    run = train(news, tmp_path / "run", folder, "frozen")
    weights = state(run.bundle.folder)
    place = "embeddings.word_embeddings.weight" if family == "bert" else "wte.weight"
    table = open_folder(folder).read(place)
    own = weights["encoders.0_text.embedding.table.weight"]
    assert torch.equal(own[own.shape[0] - 40 :], table)
    assert own.shape[0] == (40 if family == "bert" else 41)  # a row for padding before GPT-2's own
    assert run.report["cost"]["trained_parameters"] == 2 * 16 + 2
    assert any("licence: mit" in note for note in run.report["notes"])
    assert open_predictor(run.folder).predict([{"text": "team wins game"}])


def test_full_trains_everything_and_the_bundle_needs_the_folder_no_more(
    pretrained: Pretrained, news: dict[str, Any], tmp_path: Path
) -> None:
    folder = pretrained("bert")
    run = train(news, tmp_path / "run", folder, None, train={**TRAIN, "epochs": 8, "optimizer": {"lr": 0.01}})
    assert run.report["metrics"]["test"]["label"]["accuracy"]["value"] > 0.9
    folder.rename(tmp_path / "elsewhere")
    answers = open_predictor(run.folder).predict([{"text": "stock price"}, {"text": "goal player cup"}])
    assert [row["label"] for row in answers] == ["bank", "ball"]


def test_the_dropout_of_the_network_stays_or_goes(pretrained: Pretrained, news: dict[str, Any], tmp_path: Path) -> None:
    folder = pretrained("bert")
    for place, (adapt, share) in enumerate([
        ("full", 0.1), ({"type": "full", "own_dropout": False}, 0.0), ({"type": "lora", "own_dropout": False}, 0.0),
        ("frozen", 0.0),
    ]):  # fmt: skip
        run = train(news, tmp_path / str(place), folder, adapt, train={**TRAIN, "epochs": 1})
        encoder = run.bundle.model["spec"]["encoders"]["text"]
        assert encoder["dropout"] == share


def test_lora_leaves_the_layers_alone_and_merges(pretrained: Pretrained, news: dict[str, Any], tmp_path: Path) -> None:
    folder = pretrained("bert")
    frozen = state(train(news, tmp_path / "frozen", folder, "frozen").bundle.folder)
    run = train(news, tmp_path / "lora", folder, {"type": "lora", "rank": 2, "targets": ["query", "up"]})
    assert [edit["type"] for edit in run.bundle.edits] == ["lora"]
    weights = state(run.bundle.folder)
    plain = {name.replace(".base.", "."): value for name, value in weights.items()}
    assert {name.split(".")[0] for name in changed(frozen, plain)} == {"heads"}
    assert run.report["cost"]["trained_parameters"] == 2 * (2 * (16 + 16) + 2 * (16 + 32)) + 34

    merged = merge(run.bundle, tmp_path / "merged")
    bundle = open_bundle(merged)
    assert bundle.edits == []
    assert bundle.parents[-1]["identity"] == run.bundle.identity
    rows = [{"text": "team wins"}, {"text": "oil"}]
    first, second = (open_predictor(path).predict(rows) for path in (run.bundle.folder, merged))
    assert [row["label"] for row in first] == [row["label"] for row in second]
    with pytest.raises(BundleError, match="must have LoRA matrices to merge"):
        merge(bundle, tmp_path / "again")


def test_a_bundle_is_gone_on_from(pretrained: Pretrained, news: dict[str, Any], tmp_path: Path) -> None:
    first = train(news, tmp_path / "first", pretrained("bert"), "lora")
    second = train(news, tmp_path / "second", first.folder, "frozen")
    assert second.bundle.parents[-1]["identity"] == first.bundle.identity
    assert second.bundle.edits == []  # what was learnt beside the layers is now in them
    assert second.bundle.fields_json == first.bundle.fields_json
    before = open_origin(first.folder).weights(open_model(second.bundle))
    assert {name.split(".")[0] for name in changed(before, state(second.bundle.folder))} <= {"heads"}
    assert set(before) == {name for name, _ in open_model(second.bundle).named_parameters()}


def test_a_language_model_begins_with_a_folder(pretrained: Pretrained, news: dict[str, Any], tmp_path: Path) -> None:
    folder = pretrained("gpt2")
    recipe = {"data": news["data"], "outputs": {"text": {"type": "text", "head": "next_token", "max_tokens": 8}}}
    full = train(recipe, tmp_path / "run", folder, train={**TRAIN, "epochs": 8, "optimizer": {"lr": 0.01}})
    assert full.bundle.model["spec"]["heads"]["text"]["tied"] is True
    assert full.report["metrics"]["valid"]["text"]["perplexity"]["value"] < 30


def test_what_is_frozen_and_what_learns_slower(pretrained: Pretrained, news: dict[str, Any], tmp_path: Path) -> None:
    folder = pretrained("bert")
    before = state(train(news, tmp_path / "frozen", folder, "frozen").bundle.folder)
    options = {"type": "full", "freeze": ["embedding"], "freeze_blocks": 1, "layer_decay": 0.5}
    run = train(news, tmp_path / "run", folder, options, train={**TRAIN, "optimizer": {"lr": 0.01}})
    moved = changed(before, state(run.bundle.folder))
    assert not {name for name in moved if ".embedding." in name or ".blocks.0." in name or ".segments." in name}
    assert {name for name in moved if ".blocks.1." in name}
    model: Model = open_model(run.bundle)
    model.lr_factors = {"encoders.0_text.transformer.blocks.0.": 0.25, "encoders.0_text.transformer.blocks.1.": 0.5}
    groups = parameter_groups(model)
    sizes = {group.get("factor", 1.0): len(group["params"]) for group in groups if group.get("weight_decay") != 0}
    assert sizes == {1.0: 4, 0.25: 4, 0.5: 4}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"from": "nowhere"}, "from must be a bundle"),
        ({"model": {"dim": 32}}, r"must be the width of .* \(16\)"),
        ({"from": None, "adapt": "lora"}, "adapt needs something to begin with"),
        ({"adapt": {"type": "lora", "targets": ["gate"]}}, "LoRA needs Transformer blocks"),
        ({"inputs": {"text": {"type": "text", "max_tokens": 99}}}, r"max_tokens must be at most .* \(24\)"),
    ],
)
def test_what_does_not_fit_is_told(
    change: dict[str, Any], rule: str, pretrained: Pretrained, news: dict[str, Any], tmp_path: Path
) -> None:
    recipe = {**news, "from": str(pretrained("bert")), "train": TRAIN, **change}
    with pytest.raises((InputError, RecipeError), match=rule):
        ceiba.train({key: value for key, value in recipe.items() if value is not None}, out=tmp_path / "run")
    assert not (tmp_path / "run" / "bundle").exists()


def test_the_verb(
    pretrained: Pretrained, news: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["adapt", str(pretrained("bert")), news["data"]["train"], "--target", "label", "--method", "lora"]
    assert main([*words, "--out", str(tmp_path / "run"), "--set", "train.epochs=1", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    bundle = open_bundle(figures["bundle"])
    assert [edit["type"] for edit in bundle.edits] == ["lora"]
    assert figures["trained_parameters"] < figures["parameters"]
    assert main(["adapt", figures["bundle"], "--merge", "--out", str(tmp_path / "merged")]) == 0
    assert open_bundle(tmp_path / "merged").edits == []
    assert main(["adapt", figures["bundle"]]) == 2
    assert "needs data" in capsys.readouterr().err


def test_a_language_model_begins_a_classifier_on_the_command_line(
    pretrained: Pretrained, news: dict[str, Any], tmp_path: Path
) -> None:
    words = ["adapt", str(pretrained("gpt2")), news["data"]["train"], "--target", "label", "--set", "train.epochs=1"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert open_bundle(tmp_path / "run").model["spec"]["heads"]["label"]["type"] != "next_token"


@pytest.mark.filterwarnings("ignore")  # of transformers
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_an_adapted_bundle_opens_in_transformers(
    family: str, pretrained: Pretrained, news: dict[str, Any], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    text = {"data": news["data"], "outputs": {"text": {"type": "text", "head": "next_token", "max_tokens": 8}}}
    recipe, adapt = (news, "lora") if family == "bert" else (text, "full")
    run = train(recipe, tmp_path / "run", pretrained(family), adapt, train={**TRAIN, "optimizer": {"lr": 0.01}})
    assert main(["export", str(run.folder), "--to", "huggingface", "--out", str(tmp_path / "folder")]) == 0
    kind = transformers.AutoModel if family == "bert" else transformers.AutoModelForCausalLM
    other = kind.from_pretrained(tmp_path / "folder").eval()
    ids = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")("team wins cup", return_tensors="pt")[
        "input_ids"
    ]
    model = open_model(run.bundle)
    shift = 0 if family == "bert" else 1
    assert ids.shape[1] == (5 if family == "bert" else 3)
    with torch.inference_mode():
        tokens = model.tokens({"text.ids": (ids + shift).int()})
        found = tokens.values if family == "bert" else model.logits("text", tokens)[..., 1:]
        expected = other(input_ids=ids)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_network_that_no_family_has_is_refused(
    news: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = {"type": "transformer", "layers": 1, "norm": "rms"}
    for column, rule in (
        ({"encoder": "lstm"}, "holds one Transformer"),
        ({"encoder": encoder}, "must have all options"),
    ):
        recipe = {**news, "inputs": {"text": {"type": "text", "tokenizer": "word", **column}}, "model": {"dim": 16}}
        run = ceiba.train({**recipe, "train": {**TRAIN, "epochs": 1}}, out=tmp_path / rule.split()[0])
        target = tmp_path / "folder"
        assert main(["export", str(run.bundle.folder), "--to", "huggingface", "--out", str(target)]) == 2
        assert rule in capsys.readouterr().err
        assert not target.exists()
