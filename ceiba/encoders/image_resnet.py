"""Image encoder `resnet`: residual blocks in stages."""

from typing import Literal

from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.image_pixels import Pixels, token_map
from ceiba.fields import ImageLayout
from ceiba.layers import ConvBlock, ResidualBlock, Tokens


class ImageResnetSpec(Spec):
    """Stages of residual blocks, each stage but the first halving the image; gives one token a place of the last map.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2.
    """

    type: Literal["resnet"] = "resnet"
    channels: tuple[int, ...] = Field((32, 64, 128), min_length=1)
    """Width of each stage."""
    blocks: int = Field(1, ge=1)
    """Residual blocks in each stage."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Share of rows for which the last block's branch is dropped while training."""

    def build(self, layout: ImageLayout, dim: int) -> "ImageResnet":
        return ImageResnet(self, layout, dim)


class ImageResnet(Encoder):
    """Residual blocks in stages, and a linear map to the model's width."""

    def __init__(self, spec: ImageResnetSpec, layout: ImageLayout, dim: int):
        super().__init__()
        self.pixels = Pixels(layout)
        self.stages = nn.Sequential(ConvBlock(layout.channels, spec.channels[0], halve=False))
        depth, before = len(spec.channels) * spec.blocks, spec.channels[0]
        for stage, channels in enumerate(spec.channels):
            for block in range(spec.blocks):
                share = spec.drop_path * (stage * spec.blocks + block + 1) / depth
                self.stages.append(ResidualBlock(before, channels, 2 if stage and not block else 1, share))
                before = channels
        self.linear = nn.Linear(before, dim)

    def forward(self, parts: Parts) -> Tokens:
        tokens = token_map(self.stages(self.pixels(parts["pixels"])))
        return tokens._replace(values=self.linear(tokens.values))
