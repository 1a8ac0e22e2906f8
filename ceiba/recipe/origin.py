"""Completing a recipe that begins with another model: what was left out is as that model has it."""

from collections.abc import Mapping
from typing import Any, TypeVar

from ceiba.adapt import ADAPT, Origin, open_origin
from ceiba.base.errors import RecipeError
from ceiba.encoders import ENCODERS
from ceiba.fields import FIELDS, ChatSpec, Field, ImageSpec, TextSpec, TokenField
from ceiba.recipe.spec import ColumnSpec, InputSpec, OutputSpec, Recipe
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
    outputs = {name: with_head(with_tokenizer(one, origin), origin) for name, one in recipe.outputs.items()}
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
    """A language model's head that is tied to the token vectors as the origin's is, unless told."""
    if origin.is_tied is None or "tied" not in type(one.head).model_fields or "tied" in one.head.model_fields_set:
        return one
    return one.model_copy(update={"head": one.head.model_copy(update={"tied": origin.is_tied})})


def with_tokenizer(one: Column, origin: Origin) -> Column:
    """A text column with the tokenizer that the origin's token vectors belong to, an image in the size that it takes,
    unless others are told."""
    field = one.field
    if isinstance(field, ChatSpec) and origin.language is not None:
        return one.model_copy(update={"field": _in_tokens_of(field, origin.language)})
    if isinstance(field, ImageSpec) and origin.image is not None:
        image = {**origin.image, **field.model_dump(exclude_unset=True), "type": "image"}
        return one.model_copy(update={"field": FIELDS["image"].model_validate(image)})
    if origin.tokenizer is None or not isinstance(field, TextSpec) or "tokenizer" in field.model_fields_set:
        return one
    told = {**field.model_dump(exclude_unset=True), "type": field.type, "tokenizer": origin.tokenizer}
    return one.model_copy(update={"field": FIELDS[field.type].model_validate(told)})


def _in_tokens_of(chat: ChatSpec, known: TokenField) -> ChatSpec:
    """Chats in the tokens, and unless told as long as the texts, of a language model.

    Raises: RecipeError for a tokenizer that is not the model's.
    """
    if "tokenizer" in chat.model_fields_set and chat.tokenizer != known.options:
        rule = "A chat must be in the tokens of the model it begins with"
        raise RecipeError(rule, "another tokenizer", "Leave it out")
    return chat.model_copy(update={"tokenizer": known.options, "max_tokens": chat.max_tokens or known.max_tokens})


def known_fields(recipe: Recipe, origin: Origin | None) -> dict[str, Field]:
    """What the origin learnt about columns; of a chat, whatever its column is called, the tokens of its text."""
    if origin is None:
        return {}
    name, fields = recipe.language, dict(origin.fields)
    if name is not None and origin.language is not None and isinstance(spec := recipe.input_fields[name], ChatSpec):
        fields[name] = spec.on(origin.language)
    return fields
