"""Families that Ceiba's layers have no map for: networks that the package transformers builds, as encoders.

A closed set: no code of a folder's is ever run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ceiba.base.optional import require


@dataclass(frozen=True)
class Foreign:
    """One such family."""

    kind: str
    """text or image."""
    width: str
    """The key of config.json that holds the width of its tokens; of a list, the last."""
    architecture: str
    """The class of transformers that opens it."""
    part: str = ""
    """The part of it that is the encoder; nothing: all of it."""
    options: dict[str, Any] = field(default_factory=dict)
    """What it is opened with."""


FOREIGN = {
    "t5": Foreign("text", "d_model", "T5EncoderModel", "encoder"),
    "vit": Foreign("image", "hidden_size", "ViTModel", options={"add_pooling_layer": False}),
    "efficientnet": Foreign("image", "hidden_dim", "EfficientNetModel"),
    "resnet": Foreign("image", "hidden_sizes", "ResNetModel"),
}
"""`model_type` → the family."""


def foreign_width(config: Mapping[str, Any]) -> int:
    """The width of the tokens of the network that a config.json describes."""
    value = config[FOREIGN[config["model_type"]].width]
    return int(value[-1] if isinstance(value, list | tuple) else value)


def build_foreign(config: Mapping[str, Any]) -> nn.Module:
    """The network that a config.json describes, without heads, with weights by chance.

    Raises: MissingPackage without transformers.
    """
    package, family = require("transformers", "hf", "build a pre-trained network"), FOREIGN[config["model_type"]]
    made = getattr(package, family.architecture)(package.AutoConfig.for_model(**config), **family.options)
    found: nn.Module = getattr(made, family.part) if family.part else made
    return found
