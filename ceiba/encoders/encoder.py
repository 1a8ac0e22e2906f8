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

    @property
    def is_settled(self) -> bool:
        """Whether training changes nothing in what `body` gives: no weight is trained, nothing is left to chance."""
        shares = [getattr(part, name, 0.0) for part in self.modules() for name in ("share", "dropout")]
        is_still = not any(isinstance(share, float) and share > 0 for share in shares)
        keeps_figures = any(hasattr(part, "running_mean") for part in self.modules())
        return is_still and not keeps_figures and not any(one.requires_grad for one in self.parameters())

    @property
    def settled(self) -> nn.Module:
        """All that `body` needs."""
        return self

    def body(self, parts: Parts) -> Tokens:
        """What the part of it that may be settled makes of a batch."""
        tokens: Tokens = self(parts)
        return tokens

    def after(self, tokens: Tokens) -> Tokens:
        """What comes of the body's tokens, each by itself; of their mean, the mean of what comes of them."""
        return tokens

    @abstractmethod
    def forward(self, parts: Parts) -> Tokens:
        """The tokens of a batch; a row without content gives tokens that are all masked."""
