"""What every encoder promises."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ceiba.layers import Tokens

Parts = dict[str, Tensor]
"""One group's tensors by the names its fields give them: numbers, codes | ids, weights | pixels; while decoding also
positions, the place of each token in its row."""


class Encoder(nn.Module, ABC):
    """One group's tensors → tokens as wide as the model."""

    members: int = 0
    """How many members of an ensemble stand on the token axis; 0 means that the tokens are tokens."""

    @property
    def is_causal(self) -> bool:
        """Whether no token knows of those after it."""
        return False

    @property
    def table(self) -> Tensor | None:
        """The vectors that token ids stand for, one a row, which a tied head reads; None where there are none."""
        return None

    @abstractmethod
    def forward(self, parts: Parts) -> Tokens:
        """The tokens of a batch; a row without content gives tokens that are all masked."""
