"""Image encoder `cnn`: a few convolutions, then a dense layer."""

from typing import Literal

from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.image_pixels import Pixels
from ceiba.fields import ImageLayout
from ceiba.layers import ConvBlock, Dense, Dropout, Tokens, one_token


class ImageCnnSpec(Spec):
    """Convolution blocks, each halving the image, then a dense layer as wide as the model; gives one token."""

    type: Literal["cnn"] = "cnn"
    channels: tuple[int, ...] = Field((32, 64), min_length=1)
    """Width of each convolution block."""
    norm: bool = True
    """Batch norm after each convolution."""
    dropout: float = Field(0.25, ge=0, lt=1)
    """Share of features dropped before the dense layer while training."""

    def build(self, layout: ImageLayout, dim: int) -> "ImageCnn":
        return ImageCnn(self, layout, dim)


class ImageCnn(Encoder):
    """Convolution blocks and a dense layer."""

    def __init__(self, spec: ImageCnnSpec, layout: ImageLayout, dim: int):
        super().__init__()
        self.pixels = Pixels(layout)
        height, width, blocks, before = layout.height, layout.width, [], layout.channels
        for channels in spec.channels:
            halve = min(height, width) >= 2
            blocks.append(ConvBlock(before, channels, halve, spec.norm))
            before = channels
            if halve:
                height, width = height // 2, width // 2
        self.blocks = nn.Sequential(*blocks)
        self.dropout = Dropout(spec.dropout)
        self.dense = Dense(before * height * width, dim)

    def forward(self, parts: Parts) -> Tokens:
        features = self.blocks(self.pixels(parts["pixels"])).flatten(1)
        return one_token(self.dense(self.dropout(features)))
