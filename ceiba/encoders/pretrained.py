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
from ceiba.layers import FOREIGN, Dropout, Tokens, build_foreign, foreign_width


def read_config(value: dict[str, Any]) -> dict[str, Any]:
    """A config.json of a known family, or none yet. Raises: ValueError for another one."""
    if value and value.get("model_type") not in FOREIGN:
        raise ValueError(f"must have a known model_type: {listed(FOREIGN)}. Got {value.get('model_type')!r}")
    return value


class Pretrained(Encoder):
    """A network of transformers; one that is frozen whole stays as in use too: without dropout, its norms at rest."""

    net: nn.Module

    def __init__(self, config: dict[str, Any], dim: int, dropout: float):
        super().__init__()
        if not config:
            raise RecipeError("A pre-trained encoder must have its config", "none", "Name its folder in from")
        self.net, width = build_foreign(config), foreign_width(config)
        self.dropout = Dropout(dropout)
        self.narrow = nn.Identity() if width == dim else nn.Linear(width, dim, bias=False)

    @property
    def is_settled(self) -> bool:
        return not any(parameter.requires_grad for parameter in self.net.parameters())

    @property
    def settled(self) -> nn.Module:
        return self.net

    def after(self, tokens: Tokens) -> Tokens:
        """Some features dropped from all tokens of a row alike, then as wide as the model."""
        values = tokens.values
        kept = self.dropout(torch.ones_like(values[:, :1]))
        return tokens._replace(values=self.narrow(values * kept))

    def forward(self, parts: Parts) -> Tokens:
        return self.after(self.body(parts))

    def train(self, mode: bool = True) -> "Pretrained":
        super().train(mode)
        self.net.train(mode and not self.is_settled)
        return self


class TextPretrainedSpec(Spec):
    """The encoder of T5; gives one token a token. Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1."""

    type: Literal["transformers"] = "transformers"
    config: dict[str, Any] = Field({})
    """What its config.json says; `from` fills it in."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of its features dropped while training, before they are made as wide as the model."""

    known = field_validator("config")(read_config)

    def build(self, layout: TextLayout, dim: int) -> "TextPretrained":
        in_order(layout, self.type)
        return TextPretrained(self.config, dim, self.dropout)


class TextPretrained(Pretrained):
    """A text encoder of transformers."""

    def body(self, parts: Parts) -> Tokens:
        ids = parts["ids"].long()
        mask = ids != 0
        # A row without a token looks at one place of padding, for a softmax over nothing is no number.
        seen = torch.cat([mask[:, :1] | ~mask.any(1, keepdim=True), mask[:, 1:]], 1)
        values: Tensor = self.net(input_ids=ids, attention_mask=seen).last_hidden_state
        return Tokens(values, mask)


class ImagePretrainedSpec(Spec):
    """ViT, ResNet or EfficientNet; gives one token a patch, or a place of the last map. Sources: Dosovitskiy et al.
    2021, arXiv:2010.11929; He et al. 2015, arXiv:1512.03385; Tan & Le 2019, arXiv:1905.11946."""

    type: Literal["transformers"] = "transformers"
    config: dict[str, Any] = Field({})
    """What its config.json says; `from` fills it in."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of its features dropped while training, before they are made as wide as the model."""
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    """What is taken from each channel, on the scale from 0 to 255."""
    std: tuple[float, ...] = Field((127.5, 127.5, 127.5), min_length=1)
    """What each channel is then divided by."""

    known = field_validator("config")(read_config)

    def build(self, layout: ImageLayout, dim: int) -> "ImagePretrained":
        if layout.channels != len(self.mean):
            do = "Use mode: color" if len(self.mean) > 1 else "Use mode: grey"
            raise RecipeError(f"The network reads images of {len(self.mean)} channels", layout.channels, do)
        return ImagePretrained(self, layout, dim)


class ImagePretrained(Pretrained):
    """An image encoder of transformers, which has its own idea of a standard pixel."""

    def __init__(self, spec: ImagePretrainedSpec, layout: ImageLayout, dim: int):
        super().__init__(spec.config, dim, spec.dropout)
        told = ImageLayout(layout.height, layout.width, layout.channels, spec.mean, spec.std)
        self.pixels = Pixels(told)

    @property
    def settled(self) -> nn.Module:
        return nn.ModuleList([self.pixels, self.net])

    def body(self, parts: Parts) -> Tokens:
        values: Tensor = self.net(pixel_values=self.pixels(parts["pixels"])).last_hidden_state
        if values.ndim == 4:
            return token_map(values)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
