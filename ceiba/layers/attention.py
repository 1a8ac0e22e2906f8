"""Attention: every token looks at every other."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ceiba.base.errors import RecipeError, listed
from ceiba.layers.norm import token_norm
from ceiba.layers.positions import rotate

MASKED_SCORE = -1e4
"""Added to a masked score: far enough for a weight of exactly zero, near enough for half precision. Not -∞: a row that
is masked whole would give NaN in runtimes other than torch."""

SHORT = 256 * 256
"""Scores of a head up to which plain products train faster in bfloat16 on a processor: torch's one kernel for all has a
backward pass there that takes up to four times as long."""


def attend(
    query: Float[Tensor, "batch head query dim"],
    key: Float[Tensor, "batch key_head key dim"],
    value: Float[Tensor, "batch key_head key dim"],
    mask: Bool[Tensor, "#batch 1 #query key"] | None = None,
    is_causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "batch head query dim"]:
    """softmax(Q Kᵀ / √dim) V over the keys that the mask shows; what a query without any key gives says nothing.

    `is_causal` stands in place of a mask: a query sees the keys up to its own place. Fewer key heads than query heads
    serve as many neighbors each as are needed. `dropout` is the share of weights that are zero while training.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1; shared heads: Ainslie et al. 2023, arXiv:2305.13245.
    """
    if (sharing := query.shape[1] // key.shape[1]) > 1:
        key, value = key.repeat_interleave(sharing, 1), value.repeat_interleave(sharing, 1)
    scores = None if mask is None else torch.where(mask, 0.0, MASKED_SCORE).to(query.dtype)
    is_short = query.requires_grad and query.shape[2] * key.shape[2] <= SHORT
    if is_short and query.dtype == torch.bfloat16 and query.device.type == "cpu":
        return _by_products(query, key, value, scores, is_causal, dropout)
    return F.scaled_dot_product_attention(query, key, value, scores, dropout, is_causal)


def _by_products(
    query: Float[Tensor, "batch head query dim"],
    key: Float[Tensor, "batch head key dim"],
    value: Float[Tensor, "batch head key dim"],
    scores: Float[Tensor, "#batch 1 #query key"] | None,
    is_causal: bool,
    dropout: float,
) -> Float[Tensor, "batch head query dim"]:
    """The same as its equation says, product by product."""
    if is_causal:
        unseen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool).triu(1)
        scores = torch.where(unseen, MASKED_SCORE, 0.0).to(query.dtype)
    with torch.autocast("cpu", enabled=False):  # which would take the softmax to float32 and back
        logits = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
        weights = (logits if scores is None else logits + scores).softmax(3)
        return F.dropout(weights, dropout) @ value


@runtime_checkable
class LayerMemory(Protocol):
    """The keys and values that one attention has met, kept by whoever decodes."""

    def attend(
        self,
        query: Float[Tensor, "batch head new dim"],
        key: Float[Tensor, "batch key_head new dim"],
        value: Float[Tensor, "batch key_head new dim"],
    ) -> Float[Tensor, "batch head new dim"]:
        """Add the new keys and values, and let each new query look at all up to its own place."""


@runtime_checkable
class Memory(Protocol):
    """What decoding keeps from step to step, so that a token passes through the net but once."""

    positions: Int[Tensor, "batch new"]
    """The place of each new token in its own row."""
    layers: Sequence[LayerMemory]
    """One for each block."""


class Sight(NamedTuple):
    """What all attentions of one pass share: which keys a query sees, and how places turn queries and keys."""

    mask: Bool[Tensor, "#batch 1 #query token"] | None = None
    is_causal: bool = False
    rotation: tuple[Float[Tensor, "#batch 1 token half"], Float[Tensor, "#batch 1 token half"]] | None = None


ALL = Sight()
"""Every query sees every key."""


class SelfAttention(nn.Module):
    """Several attentions side by side, each in a dim of its own, then mixed. Weights start as torch's Linear.

    The rows of the first matrix are those of all queries, then keys, then values. `qk_norm` is the ε of the norm over
    each query and key, None for none.

    Raises: RecipeError if the heads do not divide dim, or their number not that of the key heads.
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2; norm: Henry et al. 2020, arXiv:2010.04245.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        out_bias: bool = True,
        qk_norm: float | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        if head_dim is None and dim % num_heads:
            divisors = [count for count in range(1, dim + 1) if dim % count == 0 and dim // count >= 8] or [1]
            raise RecipeError(f"heads must divide dim ({dim})", num_heads, f"Use one of {listed(divisors)}")
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads
        if num_heads % self.num_kv_heads:
            divisors = [count for count in range(1, num_heads + 1) if num_heads % count == 0]
            raise RecipeError(
                f"kv_heads must divide heads ({num_heads})", num_kv_heads, f"Use one of {listed(divisors)}"
            )
        self.head_dim = head_dim or dim // num_heads
        self.query_key_value = nn.Linear(dim, (num_heads + 2 * self.num_kv_heads) * self.head_dim, bias)
        self.out = nn.Linear(num_heads * self.head_dim, dim, out_bias)
        self.query_norm = None if qk_norm is None else token_norm("rms", self.head_dim, qk_norm)
        self.key_norm = None if qk_norm is None else token_norm("rms", self.head_dim, qk_norm)
        self.dropout = dropout

    def forward(
        self, values: Float[Tensor, "batch token dim"], sight: Sight = ALL, memory: LayerMemory | None = None
    ) -> Float[Tensor, "batch token dim"]:
        heads = self.query_key_value(values).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        query, key, value = heads.split([self.num_heads, self.num_kv_heads, self.num_kv_heads], 1)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if sight.rotation is not None:
            query, key = rotate(query, sight.rotation), rotate(key, sight.rotation)
        if memory is not None:
            mixed = memory.attend(query, key, value)
        else:
            dropout = self.dropout if self.training else 0.0
            mixed = attend(query, key, value, sight.mask, sight.is_causal, dropout)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


def visible(
    mask: Bool[Tensor, "batch token"],
    is_causal: bool = False,
    window: int | None = None,
    positions: Int[Tensor, "#batch token"] | None = None,
) -> Bool[Tensor, "batch 1 #query token"]:
    """Which keys each query may look at: those that count, if causal none after itself, none `window` or more places
    away, and, where a row holds several texts, whose positions each begin at 0, none of another one.

    Source of the window: Beltagy et al. 2020, arXiv:2004.05150, section 3.1.
    """
    keys = mask[:, None, None, :]
    if positions is not None:
        text = (positions == 0).cumsum(1)
        keys = keys & (text[:, None, :, None] == text[:, None, None, :])
    if not is_causal and window is None:
        return keys
    place = torch.arange(mask.shape[1], device=mask.device)
    back = place[:, None] - place[None, :]
    if is_causal:
        keys = keys & (back >= 0)
    return keys if window is None else keys & (back.abs() < window)
