"""Encoders `transformers`: networks that the package transformers builds, where Ceiba's layers have no map for them."""

from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from ceiba.base.errors import RecipeError, listed
from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.image_pixels import Pixels, token_map
from ceiba.encoders.text_ids import in_order
from ceiba.fields import ImageLayout, TextLayout
from ceiba.layers import FOREIGN, Tokens, build_foreign


def read_config(value: dict[str, Any]) -> dict[str, Any]:
    """A config.json of a known family. Raises: ValueError for another one."""
    if value.get("model_type") not in FOREIGN:
        raise ValueError(f"must have a known model_type: {listed(FOREIGN)}. Got {value.get('model_type')!r}")
    return value


class Pretrained(Encoder):
    """A network of transformers; one that is frozen whole stays as in use too: without dropout, its norms at rest."""

    net: nn.Module

    def train(self, mode: bool = True) -> "Pretrained":
        super().train(mode and any(parameter.requires_grad for parameter in self.net.parameters()))
        return self


class TextPretrainedSpec(Spec):
    """The encoder of T5; gives one token a token. Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1."""

    type: Literal["transformers"] = "transformers"
    config: dict[str, Any]
    """What its config.json says; `from` fills it in."""

    known = field_validator("config")(read_config)

    def build(self, layout: TextLayout, dim: int) -> "TextPretrained":
        in_order(layout, self.type)
        return TextPretrained(self)


class TextPretrained(Pretrained):
    """A text encoder of transformers."""

    def __init__(self, spec: TextPretrainedSpec):
        super().__init__()
        self.net = build_foreign(spec.config)

    def forward(self, parts: Parts) -> Tokens:
        ids = parts["ids"].long()
        mask = ids != 0
        # A row without a token looks at one place of padding, for a softmax over nothing is no number.
        seen = torch.cat([mask[:, :1] | ~mask.any(1, keepdim=True), mask[:, 1:]], 1)
        values: Tensor = self.net(input_ids=ids, attention_mask=seen).last_hidden_state
        return Tokens(values, mask)


class ImagePretrainedSpec(Spec):
    """ViT or ResNet; gives one token a patch, or a place of the last map. Sources: Dosovitskiy et al. 2021,
    arXiv:2010.11929; He et al. 2015, arXiv:1512.03385."""

    type: Literal["transformers"] = "transformers"
    config: dict[str, Any]
    """What its config.json says; `from` fills it in."""
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    """What is taken from each channel, on the scale from 0 to 255."""
    std: tuple[float, ...] = Field((127.5, 127.5, 127.5), min_length=1)
    """What each channel is then divided by."""

    known = field_validator("config")(read_config)

    def build(self, layout: ImageLayout, dim: int) -> "ImagePretrained":
        if layout.channels != len(self.mean):
            do = "Use mode: color" if len(self.mean) > 1 else "Use mode: grey"
            raise RecipeError(f"The network reads images of {len(self.mean)} channels", layout.channels, do)
        return ImagePretrained(self, layout)


class ImagePretrained(Pretrained):
    """An image encoder of transformers, which has its own idea of a standard pixel."""

    def __init__(self, spec: ImagePretrainedSpec, layout: ImageLayout):
        super().__init__()
        told = ImageLayout(layout.height, layout.width, layout.channels, spec.mean, spec.std)
        self.pixels, self.net = Pixels(told), build_foreign(spec.config)

    def forward(self, parts: Parts) -> Tokens:
        values: Tensor = self.net(pixel_values=self.pixels(parts["pixels"])).last_hidden_state
        if values.ndim == 4:
            return token_map(values)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
