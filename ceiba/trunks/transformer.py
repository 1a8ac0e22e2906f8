"""Trunk `transformer`: attention between the tokens of all groups."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ceiba.base.errors import RecipeError
from ceiba.layers import Memory, Tokens, Transformer, TransformerOptions, join_tokens
from ceiba.trunks.trunk import Trunk


class TransformerTrunkSpec(TransformerOptions):
    """The tokens of all groups in one row, each with its group's vector added, through Transformer blocks.

    Source: Vaswani et al. 2017, arXiv:1706.03762; class token: Devlin et al. 2019, arXiv:1810.04805, section 3.
    """

    type: Literal["transformer"] = "transformer"
    layers: int = Field(2, ge=1)
    """Transformer blocks."""
    pool: Literal["mean", "first"] = "mean"
    """What the heads read: the mean of all tokens, or one learnt token that is put before them."""

    def build(self, dim: int, groups: tuple[str, ...], members: int) -> "TransformerTrunk":
        if members:
            raise RecipeError("transformer must not mix the members of an ensemble", "tabm", "Use none or mlp")
        if self.causal and self.pool == "first":
            raise RecipeError("pool: first needs a token that sees the others", "causal: true", "Use pool: mean")
        return TransformerTrunk(self, dim, groups)


class TransformerTrunk(Trunk):
    """Attention between the tokens of all groups."""

    def __init__(self, spec: TransformerTrunkSpec, dim: int, groups: tuple[str, ...]):
        super().__init__()
        self.dim, self.causal = dim, spec.causal
        self.groups = nn.Parameter(torch.randn(len(groups), dim) * dim**-0.5) if len(groups) > 1 else None
        self.first = nn.Parameter(torch.randn(1, 1, dim) * dim**-0.5) if spec.pool == "first" else None
        self.positions = spec.positions.build(dim, None, spec.std)
        self.transformer = Transformer(dim, spec)

    @property
    def is_causal(self) -> bool:
        return self.causal and self.groups is None

    def forward(self, groups: dict[str, Tokens], memory: Memory | None = None) -> Tokens:
        """With a memory, the tokens are new ones of rows whose earlier tokens it knows."""
        parts = list(groups.values())
        if self.groups is not None:
            parts = [part._replace(values=part.values + self.groups[place]) for place, part in enumerate(parts)]
        if self.first is not None:
            values = self.first.expand(parts[0].values.shape[0], -1, -1)
            parts.insert(0, Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)))
        tokens = parts[0] if len(parts) == 1 else join_tokens(parts)
        if self.positions is not None:
            places = tokens.positions if memory is None else memory.positions
            tokens = tokens._replace(values=self.positions(tokens.values, places))
        # The padding of one group stands at the end, where no causal token sees it.
        mixed: Tokens = self.transformer(tokens, self.causal and len(parts) == 1, memory)
        return mixed if self.first is None else Tokens(mixed.values[:, :1], mixed.mask[:, :1])
