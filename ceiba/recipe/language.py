"""Completing the recipe of a language model: a text that is its own target, and a network that never looks ahead."""

from typing import Any

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.encoders import ENCODERS
from ceiba.fields import ChatSpec, TextSpec
from ceiba.fields.template import MARKS
from ceiba.fields.tokenizers import END, MASK, BpeSpec, FolderSpec, LearntSpec
from ceiba.heads import DECODER_OPTIONS, DenoiseSpec
from ceiba.layers import TransformerOptions
from ceiba.recipe.spec import NetworkSpec, OutputSpec, Recipe
from ceiba.trunks import TRUNKS

CONTEXT = 256
"""Tokens that a language model sees at a time, unless told."""
DEFAULT_SIZE = "micro"
SIZES: dict[str, tuple[int, int, int]] = {
    "nano": (128, 4, 4),
    "micro": (384, 6, 6),
    "small": (768, 12, 12),
    "medium": (1024, 24, 16),
    "large": (1280, 36, 20),
    "xl": (2560, 32, 32),
}
"""Name → width, blocks and attention heads; the larger ones as GPT-2 and GPT-3 have them.
Sources: Radford et al. 2019, table 2; Brown et al. 2020, arXiv:2005.14165, table 2.1."""
USUAL: dict[str, Any] = {
    "positions": "rotary", "norm": "rms", "activation": "swiglu", "feed_forward": 8 / 3, "bias": False,
    "dropout": 0.0, "init": "normal",
}  # fmt: skip
"""What a language model's blocks are unless told, as in Llama. Source: Touvron et al. 2023, arXiv:2302.13971,
section 2.2."""
VECTORS: dict[str, Any] = {"layers": 0, "positions": "none", "dropout": 0.0, "init": "normal"}
"""Token vectors alone: the trunk does the rest."""
BOTH_SIDES = ("masked", "denoise")
"""Heads of networks that see what follows a token."""
COMPARING = "preference"
"""The head that learns from pairs of answers."""
RECURRENT = ("rnn", "lstm", "gru")


def complete_language(recipe: Recipe, name: str) -> Recipe:
    """The recipe of a language model with everything written out.

    Raises: RecipeError for further inputs or outputs, or a column of another kind.
    """
    if recipe.inputs or len(recipe.outputs) > 1:
        got = "other inputs" if recipe.inputs else "other outputs"
        raise RecipeError(
            f"A text with the head {recipe.outputs[name].head.type} is its own input", got, "Leave them out"
        )
    one = recipe.outputs[name]
    if not isinstance(one.field, TextSpec):
        raise RecipeError(f"outputs.{name} must be a text for {one.head.type}", one.kind, "Use type: text")
    _check_head(recipe, name)
    network = _network(recipe.model, one)
    text = _text(one, is_new=recipe.origin is None)
    if isinstance(one.head, DenoiseSpec):
        one = one.model_copy(update={"head": _like_its_encoder(one.head, network)})
    if isinstance(text, ChatSpec):
        text = _kept_apart(text, network)
    column = one.model_copy(update={"field": text})
    return recipe.model_copy(update={"inputs": {}, "outputs": {name: column}, "model": network})


def _check_head(recipe: Recipe, name: str) -> None:
    """Raises: RecipeError for a head that does not learn from chats, or one that learns from them alone."""
    head, is_chat = recipe.outputs[name].head.type, isinstance(recipe.outputs[name].field, ChatSpec)
    if is_chat and head in BOTH_SIDES:
        raise RecipeError(f"outputs.{name} holds answers, which are written forward", head, "Use next_token")
    if head == "denoise" and getattr(recipe.adapt, "new_tokens", ()):
        raise RecipeError("denoise has sentinels where new tokens would be", "adapt.new_tokens", "Leave them out")
    if head == COMPARING and not is_chat:
        raise RecipeError(f"outputs.{name} must be chats for {head}", recipe.outputs[name].kind, "Use type: chat")
    if head == COMPARING and recipe.origin is None:
        raise RecipeError(f"{head} teaches a model that answers already", "no from", "Add from: FOLDER")


def _kept_apart(chat: ChatSpec, network: NetworkSpec) -> ChatSpec:
    """Chats that share rows where the network can keep them apart.

    Raises: RecipeError if they are told to and cannot.
    """
    kind = getattr(network.text, "type", "")
    can = kind not in RECURRENT
    if (chat.pack or chat.pairs) and not can:
        raise RecipeError("Chats of one row need a network that keeps them apart", kind, "Leave it out")
    return chat.model_copy(update={"pack": can if chat.pack is None else chat.pack})


def _text(one: OutputSpec, is_new: bool) -> TextSpec:
    """The text, read whole, with the tokens that its head needs; byte pairs unless told. Tokens that are new have some
    that begin the messages of a chat."""
    field = one.field
    assert isinstance(field, TextSpec)
    tokenizer: Any = field.tokenizer if "tokenizer" in field.model_fields_set else BpeSpec()
    if isinstance(tokenizer, LearntSpec):
        needed: tuple[str, ...] = (END, MASK) if one.head.type == "masked" else (END,)
        needed += tuple(MARKS.values()) if isinstance(field, ChatSpec) and is_new else ()
        more = tuple(token for token in needed if token not in tokenizer.special)
        tokenizer = tokenizer.model_copy(update={"special": (*tokenizer.special, *more)})
    elif isinstance(tokenizer, FolderSpec):
        tokenizer = tokenizer.model_copy(update={"template": False})
    else:
        raise RecipeError("A language model needs tokens in reading order", tokenizer.type, "Use bpe, or leave it out")
    told = {
        "tokenizer": tokenizer,
        "max_tokens": field.max_tokens or CONTEXT,
        "whole": True,
        "masked": one.head.type == "masked",
        "corrupted": (one.head.rate, one.head.span) if isinstance(one.head, DenoiseSpec) else None,
    }
    if isinstance(field, ChatSpec):
        told["pairs"] = one.head.type == COMPARING
    return field.model_copy(update=told)


def _like_its_encoder(head: DenoiseSpec, network: NetworkSpec) -> DenoiseSpec:
    """The decoder with as many blocks as the encoder, built alike, in all that is not told."""
    for part in (network.trunk, network.text):
        if isinstance(part, TransformerOptions) and part.layers:
            usual = {name: getattr(part, name) for name in DECODER_OPTIONS if name not in head.model_fields_set}
            return head.model_copy(update=usual)
    return head


def _network(model: NetworkSpec, one: OutputSpec) -> NetworkSpec:
    """A Transformer of the size that is told, or a recurrent net; one that reads forward looks back alone."""
    is_causal = one.head.type not in BOTH_SIDES
    text = model.text
    if text is not None and text.type in RECURRENT:
        if is_causal and "bidirectional" not in text.model_fields_set:
            text = text.model_copy(update={"bidirectional": False})
        return model.model_copy(update={"text": text, "trunk": model.trunk or TRUNKS["none"]()})
    dim, layers, heads = SIZES[model.size or DEFAULT_SIZE]
    if model.size is None and "dim" in model.model_fields_set:
        dim = model.dim
    told: dict[str, Any] = {} if model.trunk is None else model.trunk.model_dump(exclude_unset=True)
    if told.get("type", "transformer") == "transformer":
        usual = {"layers": layers, "heads": heads, "causal": is_causal, **USUAL}
        trunk: Spec = TRUNKS["transformer"].model_validate({**usual, **told})
    else:
        trunk = model.trunk  # type: ignore[assignment]
    text = text or ENCODERS["text"]["transformer"].model_validate(VECTORS)
    return model.model_copy(update={"dim": dim, "text": text, "trunk": trunk})
