"""Trunk `transformer`: attention between the tokens of all groups."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.layers import Tokens, Transformer, join_tokens
from ceiba.trunks.trunk import Trunk


class TransformerTrunkSpec(Spec):
    """The tokens of all groups in one row, each with its group's vector added, through Transformer blocks.

    Source: Vaswani et al. 2017, arXiv:1706.03762; class token: Devlin et al. 2019, arXiv:1810.04805, section 3.
    """

    type: Literal["transformer"] = "transformer"
    layers: int = Field(2, ge=1)
    """Transformer blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads; must divide the model's dim."""
    feed_forward: float = Field(4.0, gt=0)
    """Width of the inner dense layer, in multiples of dim."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped in each block while training."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Share of rows for which the last block's branches are dropped while training."""
    causal: bool = False
    """Whether a token sees only itself and those before it."""
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
        self.dim = dim
        self.groups = nn.Parameter(torch.randn(len(groups), dim) * dim**-0.5) if len(groups) > 1 else None
        self.first = nn.Parameter(torch.randn(1, 1, dim) * dim**-0.5) if spec.pool == "first" else None
        inner = max(1, round(spec.feed_forward * dim))
        self.transformer = Transformer(
            dim, spec.layers, spec.heads, inner, spec.dropout, spec.drop_path, is_causal=spec.causal
        )

    def forward(self, groups: dict[str, Tokens]) -> Tokens:
        parts = list(groups.values())
        if self.groups is not None:
            parts = [part._replace(values=part.values + self.groups[place]) for place, part in enumerate(parts)]
        if self.first is not None:
            values = self.first.expand(parts[0].values.shape[0], -1, -1)
            parts.insert(0, Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)))
        mixed: Tokens = self.transformer(join_tokens(parts))
        return mixed if self.first is None else Tokens(mixed.values[:, :1], mixed.mask[:, :1])
