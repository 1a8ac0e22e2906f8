"""Completing texts that are written: the tokens that end them, and whose tokens they are."""

from collections.abc import Mapping
from typing import Any

from ceiba.base.errors import RecipeError, listed
from ceiba.base.optional import require
from ceiba.fields import TextSpec
from ceiba.fields.tokenizers import END, BpeSpec, FolderSpec, LearntSpec
from ceiba.recipe.spec import InputSpec, OutputSpec

HEADS = ("sequence", "sequence_gru")


def with_written(
    inputs: Mapping[str, InputSpec], outputs: Mapping[str, OutputSpec]
) -> tuple[Mapping[str, InputSpec], dict[str, OutputSpec]]:
    """Inputs and outputs with what the head sequence needs; byte pairs unless told.

    Raises: RecipeError for an output that is no text, or that shares the tokens of no input; MissingPackage without
    what measures such texts, before any time is spent.
    """
    inputs, outputs = dict(inputs), dict(outputs)
    for name, one in outputs.items():
        if one.head.type not in HEADS:
            if one.share is not None:
                raise RecipeError(
                    f"outputs.{name}: share is for the heads {listed(HEADS)}", one.head.type, "Leave it out"
                )
            continue
        require("sacrebleu", "translation", "measure texts that are written")
        if not isinstance(one.field, TextSpec):
            raise RecipeError(f"outputs.{name} must be a text for {one.head.type}", one.kind, "Use type: text")
        update = {"written": True}
        if one.share is None:
            field = one.field.model_copy(update={**update, "tokenizer": _ended(one.field)})
            outputs[name] = one.model_copy(update={"field": field})
            continue
        owner = inputs.get(one.share)
        if owner is None or not isinstance(owner.field, TextSpec) or "tokenizer" in one.field.model_fields_set:
            do = "Name a text among the inputs, and a tokenizer only there"
            raise RecipeError(f"outputs.{name} must share the tokens of an input", f"share: {one.share}", do)
        lent = owner.field.model_copy(update={"tokenizer": _ended(owner.field)})
        inputs[one.share] = owner.model_copy(update={"field": lent})
        field, head = one.field.model_copy(update=update), one.head.model_copy(update={"table": "input"})
        outputs[name] = one.model_copy(update={"field": field, "head": head})
    return inputs, outputs


def _ended(field: TextSpec) -> LearntSpec | FolderSpec:
    """A text's tokenizer with a token that ends it."""
    tokenizer: Any = field.tokenizer if "tokenizer" in field.model_fields_set else BpeSpec()
    if isinstance(tokenizer, FolderSpec):
        return tokenizer
    if not isinstance(tokenizer, LearntSpec):
        raise RecipeError("A text that is written needs tokens in reading order", tokenizer.type, "Use bpe")
    more = () if END in tokenizer.special else (END,)
    return tokenizer.model_copy(update={"special": (*tokenizer.special, *more)})
