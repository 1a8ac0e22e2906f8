"""Head `masked`: which token stands where one was hidden, from those on both sides."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.heads.head import OutputLayout
from ceiba.heads.next_token import TokenHead
from ceiba.layers import Tokens


class MaskedSpec(Spec):
    """One logit a token of the vocabulary where a token is hidden: how an encoder learns from plain text.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1, task 1; the layer before the last matrix is that of its
    code: dense, GELU, norm.
    """

    type: Literal["masked"] = "masked"
    tied: bool = True
    """Whether the last matrix is the text encoder's table of token vectors."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last layers while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Masked":
        if members:
            raise RecipeError("masked must not answer for an ensemble", f"{members} members", "Use another encoder")
        return Masked(dim, output.classes, self.tied, self.dropout)


class Masked(TokenHead):
    """Tells hidden tokens; every other place has no target."""

    masks = True

    def __init__(self, dim: int, vocab: int, tied: bool, dropout: float):
        super().__init__(dim, vocab, tied, 0.0, dropout)
        self.transform = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim))
        self.bias = nn.Parameter(torch.zeros(vocab))

    def forward(
        self, tokens: Tokens, table: Float[Tensor, "vocab dim"] | None = None
    ) -> Float[Tensor, "batch token vocab"]:
        return super().forward(tokens._replace(values=self.transform(tokens.values)), table)

    def logits(
        self, values: Float[Tensor, "batch token dim"], table: Float[Tensor, "vocab dim"] | None = None
    ) -> Float[Tensor, "batch token vocab"]:
        return super().logits(values, table) + self.bias
