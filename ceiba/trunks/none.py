"""Trunk `none`: nothing between encoders and heads."""

from typing import Literal

from ceiba.base.spec import Spec
from ceiba.layers import Tokens
from ceiba.trunks.joining import join_groups
from ceiba.trunks.trunk import Trunk


class NoneSpec(Spec):
    """No trunk: the tokens of a single group as they are; several groups pooled and set side by side."""

    type: Literal["none"] = "none"

    def build(self, dim: int, groups: tuple[str, ...], members: int) -> "NoTrunk":
        return NoTrunk(dim, groups)


class NoTrunk(Trunk):
    """Passes a single group through; joins several without a parameter."""

    def __init__(self, dim: int, groups: tuple[str, ...]):
        super().__init__()
        self.dim = dim * len(groups)
        self.is_single = len(groups) == 1

    @property
    def is_causal(self) -> bool:
        return self.is_single

    @property
    def pools(self) -> bool:
        return True  # it leaves a single group to the heads

    def forward(self, groups: dict[str, Tokens]) -> Tokens:
        return next(iter(groups.values())) if len(groups) == 1 else join_groups(groups)
