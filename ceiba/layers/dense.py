"""Dense layers: y = W x + b and what is put around it."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ceiba.layers.norm import BatchNorm1d
from ceiba.layers.regularization import Dropout

Activation = Literal["relu", "gelu", "silu", "tanh", "none"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}

Norm = Literal["none", "layer", "rms", "batch"]
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda dim: nn.Identity(),
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
    "batch": BatchNorm1d,
}


class Dense(nn.Sequential):
    """Linear, norm, activation, dropout: one layer of a perceptron. Weights start as torch's: uniform in ±1/√inputs."""

    def __init__(
        self, inputs: int, outputs: int, activation: Activation = "relu", norm: Norm = "none", dropout: float = 0.0
    ):
        layers = [nn.Linear(inputs, outputs), NORMS[norm](outputs), ACTIVATIONS[activation](), Dropout(dropout)]
        super().__init__(*(layer for layer in layers if not _does_nothing(layer)))


def _does_nothing(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Identity) or (isinstance(layer, Dropout) and layer.share == 0)


class Mlp(nn.Sequential):
    """Dense layers one after another, `widths` wide.

    Source: Rumelhart et al. 1986, "Learning representations by back-propagating errors".
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        activation: Activation = "relu",
        norm: Norm = "none",
        dropout: float = 0.0,
    ):
        sizes = [inputs, *widths]
        super().__init__(*(Dense(before, after, activation, norm, dropout) for before, after in pairwise(sizes)))


class MemberLinear(nn.Module):
    """One linear map for each member of an ensemble; starts as torch's Linear does, each member on its own."""

    def __init__(self, inputs: int, outputs: int, members: int):
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound))

    def forward(self, values: Float[Tensor, "batch member inputs"]) -> Float[Tensor, "batch member outputs"]:
        return torch.einsum("bmi,mio->bmo", values, self.weight) + self.bias
