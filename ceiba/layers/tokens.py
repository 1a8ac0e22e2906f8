"""Tokens: the one thing that encoders give, trunks mix and heads read."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Tokens(NamedTuple):
    """Vectors of one width and which of them count; what stands at a masked place is never read."""

    values: Float[Tensor, "batch token dim"]
    mask: Bool[Tensor, "batch token"]
    members: bool = False
    """The tokens are the members of an ensemble: each goes its own way to the head and is never pooled."""
    positions: Int[Tensor, "#batch token"] | None = None
    """Where each token stands in its own text, where a row holds several: each begins at 0, and sees only itself."""


def one_token(values: Float[Tensor, "batch dim"]) -> Tokens:
    """A single vector a row, as tokens."""
    return Tokens(values.unsqueeze(1), torch.ones(values.shape[0], 1, dtype=torch.bool, device=values.device))


def join_tokens(parts: list[Tokens]) -> Tokens:
    """The tokens of several groups in one row."""
    return Tokens(torch.cat([part.values for part in parts], 1), torch.cat([part.mask for part in parts], 1))


def pool(tokens: Tokens) -> Float[Tensor, "batch dim"]:
    """Mean over the tokens that count; zeros for a row without any."""
    counted = tokens.values.masked_fill(~tokens.mask.unsqueeze(-1), 0.0)
    if counted.shape[1] == 1:
        return counted.squeeze(1)
    return counted.sum(1) / tokens.mask.sum(1, keepdim=True).clamp(min=1)
