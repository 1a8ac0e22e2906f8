"""Image encoder `vit`: patches as tokens, mixed by a Transformer."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.image_pixels import Pixels, token_map
from ceiba.fields import ImageLayout
from ceiba.layers import Positions, Tokens, Transformer, TransformerOptions


class ImageVitSpec(Spec):
    """Square patches with learnt positions, then Transformer blocks; gives one token a patch.

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1 (mean over patches in place of a class token).
    """

    type: Literal["vit"] = "vit"
    patch: int = Field(4, ge=1)
    """Side of a patch, in pixels; an image is filled up with its mean at the right and the bottom."""
    layers: int = Field(4, ge=1)
    """Transformer blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads; must divide the model's dim."""
    feed_forward: float = Field(2.0, gt=0)
    """Width of the inner dense layer, in multiples of dim."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped in each block while training."""
    drop_path: float = Field(0.1, ge=0, lt=1)
    """Share of rows for which the last block's branches are dropped while training."""

    def build(self, layout: ImageLayout, dim: int) -> "ImageVit":
        return ImageVit(self, layout, dim)


class ImageVit(Encoder):
    """Patches with positions, mixed by a Transformer."""

    def __init__(self, spec: ImageVitSpec, layout: ImageLayout, dim: int):
        super().__init__()
        self.pixels = Pixels(layout)
        rows, columns = (-(-size // spec.patch) for size in (layout.height, layout.width))
        self.fill = (0, columns * spec.patch - layout.width, 0, rows * spec.patch - layout.height)
        self.patches = nn.Conv2d(layout.channels, dim, spec.patch, spec.patch)
        self.positions = Positions(rows * columns, dim)
        options = TransformerOptions(
            layers=spec.layers, heads=spec.heads, feed_forward=spec.feed_forward,
            dropout=spec.dropout, drop_path=spec.drop_path,
        )  # fmt: skip
        self.transformer = Transformer(dim, options)

    def forward(self, parts: Parts) -> Tokens:
        image = self.pixels(parts["pixels"])
        if any(self.fill):
            image = F.pad(image, self.fill)
        patches = token_map(self.patches(image))
        mixed: Tokens = self.transformer(patches._replace(values=self.positions(patches.values)), all_count=True)
        return mixed
