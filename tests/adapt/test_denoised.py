"""What begins with a network that learnt to restore a text: which weights it takes, and in which tokens it reads."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import ceiba
from ceiba.base.errors import RecipeError
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.fields import Fields, TokenField
from ceiba.model import Model, open_model
from ceiba.prepare import load_splits, profile
from ceiba.recipe import complete, read_recipe
from ceiba.run import encode, network

WORDS = ["the", "team", "wins", "the", "game", "and", "the", "bank", "has", "the", "oil", "of", "the", "cup"]
ROWS = [{"text": " ".join(WORDS[place % 7 :]), "short": " ".join(WORDS[place % 7 :][:2]), "kind": "ab"[place % 2]}
        for place in range(60)]  # fmt: skip
FIT = {"steps": 3, "batch_rows": 8, "threads": 1, "precision": "fp32"}
WRITTEN = {"short": {"type": "text", "share": "text", "head": "sequence"}}


def learnt(folder: Path, **head: Any) -> Path:
    """The run of a network that restores texts, a little."""
    text = {"type": "text", "tokenizer": {"type": "word", "min_count": 1}, "max_tokens": 12}
    ceiba.train({
        "data": {"train": [{"text": row["text"]} for row in ROWS]},
        "outputs": {"text": {**text, "head": {"type": "denoise", **head}}},
        "model": {"dim": 16, "trunk": {"type": "transformer", "layers": 2, "heads": 2, "feed_forward": 2}},
        "train": {**FIT, "optimizer": {"lr": 0.01}}, "evaluate": {"baselines": False},
    }, out=folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(tmp_path_factory.mktemp("denoised") / "run")


def begun(origin: Path, column: str = "text", **recipe: Any) -> tuple[Model, Fields]:
    """The network of a recipe as its training begins, drawn by another seed than the origin's, and its fields."""
    rows = [{column: row["text"], "short": row["short"], "kind": row["kind"]} for row in ROWS]
    usual = {"inputs": {column: {"type": "text"}}, "train": {**FIT, "seed": 7}}
    given = read_recipe({"from": str(origin), "data": {"train": rows}, **usual, **recipe})
    splits = load_splits(given.data, given.targets)
    whole = complete(given, splits.train, profile(splits.train, given.targets, {}, given.texts).kinds)
    fields: Fields = encode(whole, splits)[0]
    return network(whole, fields), fields


def taken(model: Model, origin: Path) -> dict[str, bool]:
    """Each parameter without the names of columns: whether it is the origin's."""
    known = {bare(name): value for name, value in open_model(open_bundle(origin)).state_dict().items()}
    return {
        bare(name): bare(name) in known and torch.equal(value, known[bare(name)])
        for name, value in model.state_dict().items()
    }


def bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if not part.startswith("0_"))


@pytest.mark.parametrize("column", ["text", "article"])
def test_a_network_that_writes_takes_all_of_it(origin: Path, column: str) -> None:
    model, fields = begun(origin, column, outputs={"short": {**WRITTEN["short"], "share": column}})
    found = taken(model, origin)
    assert all(found.values())
    assert len(found) == len(open_model(open_bundle(origin)).state_dict())
    assert any(name.startswith("heads.decoder.blocks.1.cross.") for name in found)
    assert any(name.startswith("trunk.transformer.blocks.1.") for name in found)
    known = Fields.from_json(open_bundle(origin).fields_json, open_bundle(origin).field_files()).inputs["text"]
    one, short = fields.inputs[column], fields.outputs["short"]
    assert isinstance(known, TokenField)
    assert isinstance(one, TokenField)
    assert isinstance(short, TokenField)
    assert one.trained == short.trained == known.trained
    assert one.vocab == short.vocab == known.vocab
    assert (one.whole, one.corrupted, short.corrupted) == (False, None, None)
    assert short.written


def test_what_is_told_otherwise_begins_by_chance(origin: Path, tmp_path: Path) -> None:
    head = {"type": "sequence", "layers": 3}
    deeper = taken(begun(origin, outputs={"short": {**WRITTEN["short"], "head": head}})[0], origin)
    assert not any(same for name, same in deeper.items() if name.startswith("heads.decoder.") and "norm" not in name)
    assert all(same for name, same in deeper.items() if not name.startswith("heads."))
    own = taken(begun(origin, outputs={"short": {"type": "text", "tokenizer": "word", "head": "sequence"}})[0], origin)
    assert {name for name, same in own.items() if not same} == {"heads.embedding.table.weight"}
    placed = learnt(tmp_path / "placed", positions="learned")
    found = taken(begun(placed, outputs=WRITTEN)[0], placed)
    assert {name for name, same in found.items() if not same} == {"heads.positions.table"}, "other lengths"
    recurrent = begun(origin, outputs={"short": {**WRITTEN["short"], "head": "sequence_gru"}})[0]
    assert all(same for name, same in taken(recurrent, origin).items() if not name.startswith("heads."))


def test_a_classifier_reads_in_its_tokens_whatever_the_column_is_called(origin: Path) -> None:
    for column in ("text", "article"):
        model, fields = begun(origin, column, outputs={"kind": "category"})
        found = taken(model, origin)
        assert {name for name, same in found.items() if not same} == {"heads.linear.weight", "heads.linear.bias"}
        one = fields.inputs[column]
        assert isinstance(one, TokenField)
        assert not one.whole
        assert not one.hides
    told = begun(origin, outputs={"kind": "category"}, inputs={"text": {"type": "text", "tokenizer": "character"}})[1]
    known = fields.inputs["article"]
    assert isinstance(other := told.inputs["text"], TokenField)
    assert isinstance(known, TokenField)
    assert other.trained != known.trained


def test_it_goes_on_restoring_what_it_restores(origin: Path) -> None:
    model, fields = begun(origin, inputs=None, outputs={"text": {"type": "text", "head": "denoise"}})
    assert all(taken(model, origin).values())
    one = fields.inputs["text"]
    assert isinstance(one, TokenField)
    assert one.max_tokens == 12
    assert one.corrupted is not None


def test_its_encoder_may_become_one_that_tells_what_comes_next(origin: Path) -> None:
    spec = open_bundle(origin).model["spec"]["trunk"]
    model, fields = begun(
        origin, inputs=None, outputs={"text": {"type": "text", "head": "next_token"}},
        model={"trunk": {**spec, "causal": True}},
    )  # fmt: skip
    assert all(taken(model, origin).values())
    one = fields.inputs["text"]
    assert isinstance(one, TokenField)
    assert not one.hides


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"adapt": {"type": "full", "new_tokens": ["<x>"]}}, "denoise has sentinels where new tokens would be"),
        ({"outputs": {"text": {"type": "text", "tokenizer": "ngrams", "head": "denoise"}}}, "in reading order"),
        ({"outputs": {"text": {"type": "chat", "head": "denoise"}}}, "written forward"),
    ],
)
def test_what_it_cannot_begin_is_told(origin: Path, change: dict[str, Any], rule: str) -> None:
    usual = {"outputs": {"text": {"type": "text", "head": "denoise"}}}
    with pytest.raises(RecipeError, match=rule):
        begun(origin, inputs=None, **{**usual, **change})


def test_hidden_tokens_are_not_shown_to_a_network_that_began_as_another(tmp_path: Path) -> None:
    """Tokens of a language model have none that hides others: they are learnt anew."""
    trunk = {"type": "transformer", "layers": 1, "heads": 2}
    text = {"type": "text", "tokenizer": "word", "max_tokens": 12}
    book = {"data": {"train": ROWS}, "train": FIT, "model": {"dim": 16, "trunk": trunk}, "outputs": {"text": text}}
    ceiba.train(book, out=tmp_path / "lm")
    masked = {"text": {"type": "text", "head": "masked"}}
    model, fields = begun(tmp_path / "lm", inputs=None, outputs=masked, model={"trunk": trunk})
    one = fields.inputs["text"]
    assert isinstance(one, TokenField)
    assert one.masked
    assert "mask" in one.special
    assert any(same for name, same in taken(model, tmp_path / "lm").items() if name.startswith("trunk."))


def test_the_verb(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"article": row["text"], "short": row["short"]} for row in ROWS]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = [
        "inputs.article.type=text",
        "outputs.short={type: text, share: article, head: {type: sequence, label_smoothing: 0}}",
    ]
    more = ["train.epochs=20", "train.batch_rows=8", "train.threads=1", "train.optimizer.lr=0.01"]
    words = [word for one in (*sets, *more) for word in ("--set", one)]
    assert main(["adapt", str(origin), "rows.jsonl", "--target", "short", *words, "--out", "run"]) == 0
    bundle = open_bundle(Path("run"))
    report = json.loads(bundle.read("report.json"))
    assert report["metrics"]["test"]["short"]["rouge_l"]["value"] > 0.4
    assert report["baselines"]["test"]["short"]["constant"]["rouge_l"]["value"] < 0.4
    assert [one["identity"] for one in bundle.parents] == [open_bundle(origin).identity]
