"""The weights a model begins with, and which of them are trained."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from ceiba.adapt.new_tokens import weights_with_new_tokens
from ceiba.adapt.origin import Origin, language_head, text_slots
from ceiba.adapt.spec import FullSpec, LoraSpec
from ceiba.base.errors import RecipeError, listed
from ceiba.layers import Transformer
from ceiba.model import Model
from ceiba.surgery import LoraOptions, add_lora


def begin(model: Model, origin: Origin, spec: Any) -> None:
    """Fill the model, in place, with all of the origin's weights that fit, and settle what is trained.

    Raises: RecipeError if nothing fits, or nothing is left to train.
    """
    taken = weights_with_new_tokens(model, origin) if origin.more else origin.weights(model)
    if not taken:
        raise RecipeError("from must name a model with a part that this one has too", origin.name, "Leave model out")
    model.load_state_dict(taken, strict=False)
    if isinstance(spec, FullSpec):
        freeze(model, spec)
        model.lr_factors = lr_factors(model, spec.layer_decay)
    else:
        keep(model, {name for name in taken if not name.startswith(trained_heads(model, spec))})
    if isinstance(spec, LoraSpec):
        add_lora(model, spec)
        if spec.adapter is not None:
            model.load_state_dict(placed(model, origin.adapter(spec.adapter).matrices), strict=False)
        model.edits.append(spec.model_dump(mode="json", include=set(LoraOptions.model_fields)))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError("adapt must leave something to train", spec.type, "Freeze less")


def trained_heads(model: Model, spec: Any) -> tuple[str, ...]:
    """The beginnings of the names of heads that are trained although they come from the origin: under LoRA all but a
    language model's, whose last matrix is as large as a table of token vectors, and stays with those who share it."""
    own = language_head(model) if isinstance(spec, LoraSpec) else None
    return tuple(f"heads.{slot}." for name, slot in model.head_slots.items() if name != own)


def placed(model: Model, matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """LoRA's matrices of an encoder or a trunk by the model's own names.

    Raises: RecipeError if the model has no layer for one of them.
    """
    starts = [("encoder.", f"encoders.{slot}.") for slot in text_slots(model)] + [("trunk.", "trunk.")]
    state = model.state_dict()
    found = {
        own + name.removeprefix(part): value
        for name, value in matrices.items() for part, own in starts if name.startswith(part)
    }  # fmt: skip
    if wrong := [name for name, value in found.items() if name not in state or state[name].shape != value.shape]:
        raise RecipeError(
            "The network must have the layers that the adapter stands beside", listed(wrong), "Leave model out"
        )
    return found


def keep(model: nn.Module, names: Collection[str]) -> None:
    """Leave parameters out of training."""
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(False)


def freeze(model: Model, spec: FullSpec) -> None:
    """Leave the parts that are told out of training."""
    beginnings = {"embedding": tuple(tables(model)), "encoder": ("encoders.",), "trunk": ("trunk.",)}
    told: tuple[str, ...] = tuple(start for part in spec.freeze for start in beginnings[part])
    told += tuple(start for place, start in blocks(model) if place < spec.freeze_blocks)
    keep(model, {name for name, _ in model.named_parameters() if name.startswith(told)} if told else ())


def tables(model: Model) -> list[str]:
    """The beginnings of the names of token vectors, their places and segments."""
    parts = ("embedding.", "positions.", "segments.", "norm.")
    return [f"encoders.{slot}.{part}" for slot in model.slots.values() for part in parts]


def blocks(model: Model) -> list[tuple[int, str]]:
    """(place from the bottom, beginning of its names) of every Transformer block."""
    return [
        (place, f"{path}.blocks.{place}.")
        for path, net in model.named_modules()
        if isinstance(net, Transformer)
        for place in range(len(net.blocks))
    ]


def lr_factors(model: Model, decay: float) -> dict[str, float]:
    """Beginning of names → what the learning rate is multiplied with: decay^(blocks above), the tables below all.

    Source: Howard & Ruder 2018, arXiv:1801.06146, section 3.2.
    """
    if decay == 1:
        return {}
    found = blocks(model)
    most = max((place for place, _ in found), default=-1) + 1
    return {start: decay ** (most - place) for place, start in found} | dict.fromkeys(
        tables(model), decay ** (most + 1)
    )
