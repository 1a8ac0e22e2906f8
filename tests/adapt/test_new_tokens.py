"""New tokens beside those of a pre-trained model: what the network makes of the old ones stays as it is, bit by bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ceiba
from ceiba.base.errors import RecipeError
from ceiba.fields import Fields, TokenField
from ceiba.model import Model
from ceiba.prepare import load_splits, profile
from ceiba.recipe import complete, read_recipe
from ceiba.run import encode, network

TEXT = "the team wins the game and the bank has the oil of the cup\n" * 40
NEW = ["<tool>", "铜价"]
FIT = {"epochs": 1, "steps": 2, "batch_rows": 4, "threads": 1, "precision": "fp32"}


def begun(recipe: dict[str, Any]) -> tuple[Model, TokenField]:
    """The network of a recipe as its training begins, and the field of its text."""
    given = read_recipe(recipe)
    splits = load_splits(given.data, given.targets)
    found = profile(splits.train, given.targets, {}, given.texts)
    whole = complete(given, splits.train, found.kinds)
    fields: Fields = encode(whole, splits)[0]
    field = fields.inputs["text"]
    assert isinstance(field, TokenField)
    return network(whole, fields).eval(), field


@pytest.fixture
def language(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    return {
        "data": {"train": str(tmp_path / "book.txt"), "format": "txt"},
        "outputs": {"text": {"type": "text", "max_tokens": 24, "head": "next_token"}}, "train": FIT,
        "evaluate": {"baselines": False},
    }  # fmt: skip


def compare(recipe: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, TokenField, TokenField]:
    """Logits of an old text before and after the new tokens came, and both fields."""
    (old, before), (new, after) = begun(recipe), begun({**recipe, "adapt": {"type": "full", "new_tokens": NEW}})
    ids = torch.tensor(before.token_ids(["the game of the bank team wins oil"]))
    assert torch.equal(ids, torch.tensor(after.token_ids(["the game of the bank team wins oil"])))
    with torch.inference_mode():
        return old({"text.ids": ids.int()})["text"], new({"text.ids": ids.int()})["text"], before, after


def check(old: torch.Tensor, new: torch.Tensor, before: TokenField, after: TokenField) -> None:
    first = before.tokenizer.get_vocab_size() + before.shift
    assert after.vocab == max(before.vocab, first + len(NEW))
    assert torch.equal(new[..., :first], old[..., :first])
    torch.testing.assert_close(new[..., first], old[..., 1:first].mean(-1))
    torch.testing.assert_close(new[..., first + 1], old[..., 1:first].mean(-1))
    (ids,) = after.token_ids(["the <tool> 铜价"])
    assert [one for one in ids if one >= first] == [first, first + 1]
    assert after.decode([first, first + 1]).replace(" ", "") == "".join(NEW)
    assert all(one < first for one in before.token_ids(["the <tool> 铜价"])[0])


def test_beside_a_folder_whose_table_has_rows_to_spare(
    pretrained: Callable[[str], Path], language: dict[str, Any]
) -> None:
    old, new, before, after = compare({**language, "from": str(pretrained("gpt2"))})
    assert before.vocab > before.tokenizer.get_vocab_size() + before.shift
    check(old, new, before, after)


@pytest.mark.parametrize("tied", [True, False])
def test_beside_a_bundle(tied: bool, language: dict[str, Any], tmp_path: Path) -> None:
    text = {**language["outputs"]["text"], "tokenizer": {"type": "bpe", "vocab": 280}}
    text["head"] = {"type": "next_token", "tied": tied}
    small = {"dim": 16, "trunk": {"type": "transformer", "layers": 1, "heads": 2}}
    ceiba.train({**language, "outputs": {"text": text}, "model": small}, out=tmp_path / "run")
    check(*compare({**language, "from": str(tmp_path / "run")}))


@pytest.mark.parametrize(("tokens", "says"), [(["team"], "must be new"), (["a", "a"], "must hold different tokens")])
def test_what_is_no_new_token_is_refused(
    tokens: list[str], says: str, pretrained: Callable[[str], Path], language: dict[str, Any]
) -> None:
    folder = pretrained("gpt2")
    with pytest.raises(RecipeError, match=says):
        begun({**language, "from": str(folder), "adapt": {"type": "full", "new_tokens": tokens}})


def test_a_model_without_tokens_is_refused(language: dict[str, Any], tmp_path: Path) -> None:
    rows = {"x": [number % 11 / 3 for number in range(40)], "y": [float(number % 7) for number in range(40)]}
    recipe: dict[str, Any] = {"data": {"train": rows}, "outputs": {"y": "number"}, "train": {**FIT, "steps": 1}}
    ceiba.train({**recipe, "evaluate": {"baselines": False}}, out=tmp_path / "run")
    adapt = {"type": "full", "new_tokens": ["a"]}
    with pytest.raises(RecipeError, match="reads texts as tokens"):
        ceiba.train({**recipe, "from": str(tmp_path / "run"), "adapt": adapt}, out=tmp_path / "again")
