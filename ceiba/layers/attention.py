"""Attention: every token looks at every other."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ceiba.base.errors import RecipeError, listed

MASKED_SCORE = -1e4
"""Added to a masked score: far enough for a weight of exactly zero, near enough for half precision. Not -∞: a row that
is masked whole would give NaN in runtimes other than torch."""


def attend(
    query: Float[Tensor, "batch head query dim"],
    key: Float[Tensor, "batch head key dim"],
    value: Float[Tensor, "batch head key dim"],
    mask: Bool[Tensor, "#batch 1 #query key"] | None = None,
) -> Float[Tensor, "batch head query dim"]:
    """softmax(Q Kᵀ / √dim) V over the keys that the mask shows; what a query without any key gives says nothing.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.
    """
    scores = None if mask is None else torch.where(mask, 0.0, MASKED_SCORE).to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, scores)


class SelfAttention(nn.Module):
    """Several attentions side by side, each in a dim of its own, then mixed. Weights start as torch's Linear.

    Raises: RecipeError if the heads do not divide dim.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        if dim % num_heads:
            divisors = [count for count in range(1, dim + 1) if dim % count == 0 and dim // count >= 8] or [1]
            raise RecipeError(f"heads must divide dim ({dim})", num_heads, f"Use one of {listed(divisors)}")
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, values: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "#batch 1 #query token"] | None
    ) -> Float[Tensor, "batch token dim"]:
        split = self.query_key_value(values).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, head, token, head_dim)
        mixed = attend(query, key, value, mask).transpose(1, 2).flatten(2)
        out: Tensor = self.out(mixed)
        return out


def visible(mask: Bool[Tensor, "batch token"], is_causal: bool = False) -> Bool[Tensor, "batch 1 #query token"]:
    """Which keys each query may look at: those that count and, if causal, none after itself."""
    keys = mask[:, None, None, :]
    if not is_causal:
        return keys
    place = torch.arange(mask.shape[1], device=mask.device)
    return keys & (place[None, :] <= place[:, None])
