"""Convolutions over images and over time, and the residual block."""

from torch import nn


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ReLU, and a 2x2 maximum where the image is large enough to halve.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section 2;
    batch norm: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """

    def __init__(self, inputs: int, outputs: int, halve: bool, norm: bool = True):
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)]
        if norm:
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.ReLU())
        if halve:
            layers.append(nn.MaxPool2d(2))
        super().__init__(*layers)
