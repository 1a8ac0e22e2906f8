"""Blocks of convolutions, held against the plain form of what they compute in another order."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ceiba.layers import ConvBlock, ResidualBlock


def gradients(module: nn.Module, output: Tensor) -> dict[str, Tensor]:
    """Of the squared output."""
    module.zero_grad()
    output.square().sum().backward()
    return {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("norm", [True, False])
def test_the_maximum_of_relus_is_the_relu_of_the_maximum(norm: bool) -> None:
    block = ConvBlock(3, 5, halve=True, norm=norm).double().eval()
    image = torch.randn(4, 3, 9, 8, dtype=torch.float64)
    found = block(image)
    before = [part for part in block if not isinstance(part, nn.ReLU | nn.MaxPool2d)]
    expected = F.max_pool2d(nn.Sequential(*before)(image).relu(), 2)
    assert torch.equal(found, expected)
    ours, plain = gradients(block, found), gradients(block, expected)
    assert ours.keys() == plain.keys() != set()
    assert all(torch.equal(value, plain[name]) for name, value in ours.items())


@pytest.mark.parametrize("size", [8, 7, 1])
def test_the_shortcut_is_a_convolution_of_that_stride(size: int) -> None:
    block = ResidualBlock(4, 8, stride=2).double().eval()
    image = torch.randn(2, 4, size, size, dtype=torch.float64)
    fit, norm = block.shortcut
    strided = norm(F.conv2d(image, fit.weight, stride=2))
    torch.testing.assert_close(block(image), (strided + block.branch(image)).relu())
