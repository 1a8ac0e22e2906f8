"""The Transformer encoder."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ceiba.layers.attention import SelfAttention, visible
from ceiba.layers.regularization import Dropout, StochasticDepth
from ceiba.layers.tokens import Tokens


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + W₂ gelu(W₁ norm(x)): norm first, so that the sum itself is never normed.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; norm first: Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(self, dim: int, num_heads: int, feed_forward: int, dropout: float, drop_path: float):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, feed_forward), nn.GELU(), Dropout(dropout), nn.Linear(feed_forward, dim)
        )
        self.dropout, self.drop_path = Dropout(dropout), StochasticDepth(drop_path)

    def forward(
        self, values: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "#batch 1 #query token"] | None
    ) -> Float[Tensor, "batch token dim"]:
        values = values + self._dropped(self.attention(self.norm_1(values), mask))
        return values + self._dropped(self.feed_forward(self.norm_2(values)))

    def _dropped(self, branch: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        kept: Tensor = self.drop_path(self.dropout(branch))
        return kept


class Transformer(nn.Module):
    """Blocks one after another and a last norm; the share of dropped paths grows evenly with depth."""

    def __init__(
        self,
        dim: int,
        layers: int,
        num_heads: int,
        feed_forward: int,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        is_causal: bool = False,
    ):
        super().__init__()
        self.is_causal = is_causal
        shares = [drop_path * (place + 1) / layers for place in range(layers)]
        self.blocks = nn.ModuleList(TransformerBlock(dim, num_heads, feed_forward, dropout, share) for share in shares)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tokens, all_count: bool = False) -> Tokens:
        """The tokens mixed; `all_count` says that no token is masked, which spares the work of masking."""
        mask = None if all_count and not self.is_causal else visible(tokens.mask, self.is_causal)
        values = tokens.values
        for block in self.blocks:
            values = block(values, mask)
        return Tokens(self.norm(values), tokens.mask)


class Positions(nn.Module):
    """A learnt vector for each place, added to the token there. Starts normal with deviation 1/√dim.

    Source: Gehring et al. 2017, arXiv:1705.03122, section 3.1.
    """

    def __init__(self, places: int, dim: int):
        super().__init__()
        self.table = nn.Parameter(torch.randn(places, dim) * dim**-0.5)

    def forward(self, values: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        place = torch.arange(values.shape[1], device=values.device)
        return values + torch.nn.functional.embedding(place, self.table)
