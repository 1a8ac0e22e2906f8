"""A text's tokenizer and encoder: who says one of the two gets the other that fits it."""

from typing import Any

import pytest

from ceiba.fields.ngrams import NgramSpec
from ceiba.fields.tokenizers import WordSpec
from ceiba.read import open_frame
from ceiba.recipe import check_recipe, complete

ROWS = {"about": ["a short text", "another one"], "kind": ["x", "y"]}

CASES: list[tuple[dict[str, Any], type, str]] = [
    ({}, NgramSpec, "bag"),
    ({"encoder": "bag"}, NgramSpec, "bag"),
    ({"tokenizer": "ngrams"}, NgramSpec, "bag"),
    ({"tokenizer": "word"}, WordSpec, "lstm"),
    ({"encoder": "cnn"}, WordSpec, "cnn"),
]


@pytest.mark.parametrize(("said", "tokenizer", "encoder"), CASES)
def test_what_is_not_said_follows_from_what_is(said: dict[str, Any], tokenizer: type, encoder: str) -> None:
    written = {"data": {"train": "-"}, "inputs": {"about": {"type": "text", **said}}, "outputs": {"kind": "category"}}
    recipe = complete(check_recipe(written, {}, "recipe"), open_frame(ROWS), {"about": "text", "kind": "category"})
    assert recipe.inputs is not None
    assert isinstance(recipe.inputs["about"].field.tokenizer, tokenizer)
    assert recipe.inputs["about"].encoder.type == encoder
