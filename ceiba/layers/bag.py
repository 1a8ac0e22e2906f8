"""A weighted sum of embeddings: a linear layer over a vocabulary of which each row holds only few entries."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class WeightedBag(nn.Module):
    """Σ_t w_t E[id_t]; id 0 is padding and counts nothing. E starts at zero, as a linear model does.

    Two forms of one sum: embedding_bag where it trains (it never holds a vector for every token), gather and matrix
    product where it is exported (embedding_bag would become a loop).
    """

    def __init__(self, vocab: int, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab, dim))

    def forward(
        self, ids: Int[Tensor, "batch token"], weights: Float[Tensor, "batch token"]
    ) -> Float[Tensor, "batch dim"]:
        if torch.compiler.is_exporting():
            return self.gathered(ids, weights)
        found: Tensor = F.embedding_bag(
            ids, self.weight, mode="sum", per_sample_weights=weights.to(self.weight.dtype), padding_idx=0
        )
        return found

    def gathered(
        self, ids: Int[Tensor, "batch token"], weights: Float[Tensor, "batch token"]
    ) -> Float[Tensor, "batch dim"]:
        """The same sum by gather and matrix product."""
        counted = (weights * (ids != 0)).unsqueeze(1)  # (batch, 1, token)
        return (counted.to(self.weight.dtype) @ F.embedding(ids, self.weight)).squeeze(1)
