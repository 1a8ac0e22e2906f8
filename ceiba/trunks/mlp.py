"""Trunk `mlp`: a perceptron over the pooled groups."""

from typing import Literal

from pydantic import Field

from ceiba.base.spec import Spec
from ceiba.layers import Activation, Mlp, Norm, Tokens
from ceiba.trunks.joining import join_groups
from ceiba.trunks.trunk import Trunk


class MlpTrunkSpec(Spec):
    """Each group pooled to one vector, side by side, into a perceptron as wide as the model."""

    type: Literal["mlp"] = "mlp"
    layers: int = Field(1, ge=1)
    """Dense layers."""
    activation: Activation = "relu"
    """What follows each dense layer."""
    norm: Literal["none", "layer", "rms"] = "none"
    """Normalization before each activation."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped after each dense layer while training."""

    def build(self, dim: int, groups: tuple[str, ...], members: int) -> "MlpTrunk":
        return MlpTrunk(dim, groups, self.layers, self.activation, self.norm, self.dropout)


class MlpTrunk(Trunk):
    """A perceptron over the pooled groups; every member of an ensemble goes through the same one."""

    def __init__(
        self, dim: int, groups: tuple[str, ...], layers: int, activation: Activation, norm: Norm, dropout: float
    ):
        super().__init__()
        self.dim = dim
        self.mlp = Mlp(dim * len(groups), [dim] * layers, activation, norm, dropout)

    @property
    def pools(self) -> bool:
        return True

    def forward(self, groups: dict[str, Tokens]) -> Tokens:
        joined = join_groups(groups)
        return joined._replace(values=self.mlp(joined.values))
