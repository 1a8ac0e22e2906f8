"""Tokens that a pre-trained model did not have: rows more in its tables, the mean of all others."""

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ceiba.adapt.origin import Origin, text_slots
from ceiba.base.errors import RecipeError
from ceiba.heads.next_token import TokenHead
from ceiba.model import Model


def weights_with_new_tokens(model: Model, origin: Origin) -> dict[str, Tensor]:
    """The origin's weights for a model that has more tokens than it. A new row is the mean of the rows of all tokens,
    so that its logit is the mean of theirs, and no old logit moves.

    Raises: RecipeError for an origin without tokens.
    Source: Hewitt 2021, "Initializing new word embeddings for pretrained language models".
    """
    field = origin.tokens
    if field is None:
        raise RecipeError("adapt.new_tokens needs an origin that reads texts as tokens", origin.name, "Leave it out")
    first = field.tokenizer.get_vocab_size() + field.shift
    last = first + len(origin.more)
    count = max(last - field.vocab, 0)
    names = list(_grown(model))
    before = _without(model, names, count)
    taken = origin.weights(before)
    for name in names:
        if name in taken:
            rows = taken[name]
            mean = rows[1:first].float().mean(0).to(rows.dtype)  # row 0 is padding
            rows = torch.cat([rows, rows.new_zeros(count, *rows.shape[1:])])
            rows[first:last] = mean
            taken[name] = rows
    return taken


def _grown(model: Model) -> Iterator[str]:
    """The names of the parameters that have a row for each token."""
    for slot in text_slots(model):
        yield f"encoders.{slot}.embedding.table.weight"
    for name, slot in model.head_slots.items():
        head = model.head(name)
        if isinstance(head, TokenHead):
            for own, value in head.named_parameters():
                if own in ("linear.weight", "bias", "embedding.table.weight") and len(value) > 1:
                    yield f"heads.{slot}.{own}"


def _without(model: Model, names: list[str], count: int) -> Model:
    """The model as it was before it had its last tokens."""
    found = copy.deepcopy(model)
    for name, value in found.named_parameters():
        if name in names:
            value.data = value.data[: len(value) - count]
    found.outputs = {
        name: replace(one, classes=one.classes - count) if isinstance(model.head(name), TokenHead) else one
        for name, one in model.outputs.items()
    }
    return found
