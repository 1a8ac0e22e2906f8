"""Bytes of images → standardized pixels in the order that convolutions read."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ceiba.fields import ImageLayout
from ceiba.layers import Tokens


class Pixels(nn.Module):
    """(pixel - mean) / deviation by channel; channels move before height without a copy (channels-last memory)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, layout: ImageLayout):
        super().__init__()
        self.register_buffer("mean", torch.tensor(layout.mean, dtype=torch.float32), persistent=False)
        deviation = torch.tensor(layout.std, dtype=torch.float32)
        self.register_buffer("scale", torch.where(deviation > 0, 1 / deviation, 1.0), persistent=False)

    def forward(
        self, pixels: UInt8[Tensor, "batch height width channel"]
    ) -> Float[Tensor, "batch channel height width"]:
        return ((pixels.to(self.mean.dtype) - self.mean) * self.scale).permute(0, 3, 1, 2)


def token_map(features: Float[Tensor, "batch channel height width"]) -> Tokens:
    """A map's places as tokens, row by row; all of them count."""
    values = features.flatten(2).transpose(1, 2)
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
