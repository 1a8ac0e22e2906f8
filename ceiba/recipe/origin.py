"""Completing a recipe that begins with another model: what was left out is as that model has it."""

from collections.abc import Mapping
from typing import Any, TypeVar

from ceiba.adapt import ADAPT, Origin, open_origin
from ceiba.base.errors import RecipeError
from ceiba.encoders import ENCODERS
from ceiba.fields import FIELDS, ChatSpec, Field, ImageSpec, TextSpec, TokenField
from ceiba.heads import DecoderSpec
from ceiba.recipe.spec import LANGUAGE_HEADS, ColumnSpec, InputSpec, OutputSpec, Recipe
from ceiba.trunks import TRUNKS

Column = TypeVar("Column", bound=ColumnSpec)
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


def origin_of(recipe: Recipe) -> Origin | None:
    """What a recipe begins with, with the tokens that it adds."""
    more = getattr(recipe.adapt, "new_tokens", ())
    return None if recipe.origin is None else open_origin(recipe.origin, more)


def with_origin(recipe: Recipe, origin: Origin) -> Recipe:
    """The recipe with the network, and the learning rate, that its origin asks for.

    Raises: RecipeError for another width than the origin's.
    """
    adapt: Any = recipe.adapt or ADAPT["full"]()
    if getattr(adapt, "adapter", None) is not None:
        adapter = origin.adapter(adapt.adapter)
        told = {"rank": adapter.rank, "alpha": adapter.alpha, "targets": adapter.targets}
        adapt = type(adapt).model_validate({**adapt.model_dump(), **told})
    model, found = recipe.model, origin.network
    dim = model.dim if "dim" in model.model_fields_set else origin.dim
    if dim != origin.dim and not origin.any_width:
        raise RecipeError(f"model.dim must be the width of {origin.name} ({origin.dim})", dim, "Leave it out")
    network: dict[str, Any] = {"dim": dim}
    catalogs = {**ENCODERS, "trunk": TRUNKS}
    for key, options in found.items():
        if getattr(model, key) is None:
            drops = getattr(adapt, "own_dropout", False)  # what stays as it is needs none
            still = {} if drops else {name: 0.0 for name in NO_DROPOUT if name in options}
            network[key] = catalogs[key][options["type"]].model_validate({**options, **still})
    inputs = recipe.inputs and {name: with_config(one, found) for name, one in recipe.inputs.items()}
    outputs = {name: with_head(with_tokenizer(name, one, origin), origin) for name, one in recipe.outputs.items()}
    update: dict[str, Any] = {
        "model": model.model_copy(update=network),
        "adapt": adapt,
        "inputs": inputs,
        "outputs": outputs,
    }
    if "optimizer" not in recipe.train.model_fields_set:
        slower = recipe.train.optimizer.model_copy(update={"lr": adapt.usual_lr})
        update["train"] = recipe.train.model_copy(update={"optimizer": slower})
    return recipe.model_copy(update=update)


def with_config(one: InputSpec, network: Mapping[str, Any]) -> InputSpec:
    """An input whose encoder is the origin's but for options of its own, with all others as the origin has them."""
    options: Mapping[str, Any] = next(
        (own for own in network.values() if own["type"] == getattr(one.encoder, "type", "")), {}
    )
    if getattr(one.encoder, "config", None) != {} or "config" not in options:
        return one
    told = type(one.encoder).model_validate({**options, **one.encoder.model_dump(exclude_unset=True)})
    return one.model_copy(update={"encoder": told})


def with_head(one: OutputSpec, origin: Origin) -> OutputSpec:
    """A language model's head that is tied to the token vectors as the origin's is, and a decoder built as the
    origin's, unless told."""
    if isinstance(one.head, DecoderSpec) and origin.decoder:
        own = one.head.model_dump(exclude_unset=True)
        built = {name: value for name, value in origin.decoder.items() if name not in NO_DROPOUT}
        return one.model_copy(update={"head": type(one.head).model_validate({**built, **own})})
    if one.head is None or origin.is_tied is None:
        return one
    if "tied" not in type(one.head).model_fields or "tied" in one.head.model_fields_set:
        return one
    return one.model_copy(update={"head": one.head.model_copy(update={"tied": origin.is_tied})})


def with_tokenizer(name: str, one: Column, origin: Origin) -> Column:
    """A text column with the tokenizer that the origin's token vectors belong to, an image in the size that it takes,
    unless others are told."""
    field = one.field
    if isinstance(field, ChatSpec) and origin.language is not None:
        return one.model_copy(update={"field": _in_tokens_of(field, origin.language)})
    if isinstance(field, ImageSpec) and origin.image is not None:
        image = {**origin.image, **field.model_dump(exclude_unset=True), "type": "image"}
        return one.model_copy(update={"field": FIELDS["image"].model_validate(image)})
    if not isinstance(field, TextSpec) or "tokenizer" in field.model_fields_set:
        return one
    if origin.tokenizer is None:
        return _in_known_tokens(name, one, field, origin)
    told = {**field.model_dump(exclude_unset=True), "type": field.type, "tokenizer": origin.tokenizer}
    return one.model_copy(update={"field": FIELDS[field.type].model_validate(told)})


def _in_known_tokens(name: str, one: Column, field: TextSpec, origin: Origin) -> Column:
    """A text in the tokens that the origin learnt: those of the column of its name, else those of its only text. A text
    of its own that is written has tokens of its own."""
    is_read = not isinstance(one, OutputSpec) or one.head.type in LANGUAGE_HEADS
    known = origin.fields.get(name, origin.text if is_read else None)
    if not isinstance(known, TokenField) or getattr(one, "encoder", None) is not None or getattr(one, "share", None):
        return one
    told: dict[str, Any] = {"tokenizer": known.options}
    if isinstance(one, OutputSpec) and is_read and known.whole:
        told["max_tokens"] = field.max_tokens or known.max_tokens
    return one.model_copy(update={"field": field.model_copy(update=told)})


def _in_tokens_of(chat: ChatSpec, known: TokenField) -> ChatSpec:
    """Chats in the tokens, and unless told as long as the texts, of a language model.

    Raises: RecipeError for a tokenizer that is not the model's.
    """
    if "tokenizer" in chat.model_fields_set and chat.tokenizer != known.options:
        rule = "A chat must be in the tokens of the model it begins with"
        raise RecipeError(rule, "another tokenizer", "Leave it out")
    return chat.model_copy(update={"tokenizer": known.options, "max_tokens": chat.max_tokens or known.max_tokens})


def known_fields(recipe: Recipe, origin: Origin | None) -> dict[str, Field]:
    """What the origin learnt about columns; the tokens of its only text for a text that is read, or a chat, whatever
    its column is called. A text that names another tokenizer learns its tokens anew."""
    if origin is None:
        return {}
    name, fields = recipe.language, dict(origin.fields)
    if name is not None and origin.language is not None and isinstance(spec := recipe.input_fields[name], ChatSpec):
        fields[name] = spec.on(origin.language)
    for column, spec in {**recipe.output_fields, **recipe.input_fields}.items():
        known = fields.get(column, origin.text if column in recipe.input_fields else None)
        if isinstance(spec, ChatSpec) or not isinstance(spec, TextSpec) or not isinstance(known, TokenField):
            continue
        if _has_tokens(known, spec.tokenizer):
            fields[column] = spec.on(known)
        else:
            fields.pop(column, None)
    return fields


def _has_tokens(known: TokenField, wanted: Any) -> bool:
    """Whether tokens are those of a tokenizer that is told, special ones among them."""
    special = getattr(known.options, "special", ())
    if not set(getattr(wanted, "special", ())) <= set(special):
        return False
    same: bool = known.options == (wanted.model_copy(update={"special": special}) if special else wanted)
    return same
