"""Convolutions over images and over time, and the residual block."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ceiba.layers.norm import BatchNorm2d
from ceiba.layers.regularization import StochasticDepth


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, a 2x2 maximum where the image is large enough to halve, ReLU.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section 2;
    batch norm: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """

    def __init__(self, inputs: int, outputs: int, halve: bool, norm: bool = True):
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)]
        if norm:
            layers.append(BatchNorm2d(outputs))
        if halve:
            layers.append(nn.MaxPool2d(2))
        # The maximum of ReLUs is the ReLU of the maximum, gradients included: a quarter of the places to rectify.
        layers.append(nn.ReLU())
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """relu(x + F(x)), F being two 3x3 convolutions with batch norm; a 1x1 convolution fits x where shapes change.

    Source: He et al. 2016, arXiv:1512.03385, equations 1 and 2.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, drop_path: float = 0.0):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), BatchNorm2d(outputs))
        )
        self.stride = stride
        self.drop_path = StochasticDepth(drop_path)

    def forward(
        self, image: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs new_height new_width"]:
        # Every other place is picked here, as a 1x1 convolution of stride 2 would: on processors without AVX-512 the
        # backward pass of that one, given four channels, writes beyond its memory.
        picked = image if self.stride == 1 else image[:, :, :: self.stride, :: self.stride]
        total: Tensor = self.shortcut(picked) + self.drop_path(self.branch(image))
        return total.relu()


class TimeConvolutions(nn.Module):
    """For each kernel width: convolution over time, ReLU, maximum over the tokens that count; side by side.

    A row without tokens gives zeros, the least that ReLU gives.
    Source: Kim 2014, arXiv:1408.5882, equations 2 to 4.
    """

    def __init__(self, inputs: int, channels: int, kernels: Sequence[int]):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(inputs, channels, kernel, padding=kernel // 2) for kernel in kernels
        )
        self.width = channels * len(kernels)

    def forward(
        self, values: Float[Tensor, "batch token inputs"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch width"]:
        image = (values * mask.unsqueeze(-1)).transpose(1, 2)  # (batch, inputs, token)
        length = values.shape[1]  # an even kernel gives one place more
        hidden = torch.cat([convolution(image)[..., :length] for convolution in self.convolutions], 1).relu()
        return hidden.masked_fill(~mask.unsqueeze(1), 0.0).amax(2)
