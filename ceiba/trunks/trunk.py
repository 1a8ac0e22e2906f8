"""What every trunk promises."""

from abc import ABC, abstractmethod

from torch import nn

from ceiba.layers import Tokens


class Trunk(nn.Module, ABC):
    """The tokens of all groups → the tokens that every head reads."""

    dim: int
    """Width of the tokens it gives."""

    @property
    def is_causal(self) -> bool:
        """Whether no token knows of those after it, as far as the trunk goes."""
        return False

    @property
    def pools(self) -> bool:
        """Whether nothing that it does itself reads more of a group than the mean of its tokens."""
        return False

    @abstractmethod
    def forward(self, groups: dict[str, Tokens]) -> Tokens:
        """The mixed tokens; the members of an ensemble stay apart."""
