"""Lookup tables: whole numbers → vectors."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class CategoryEmbedding(nn.Module):
    """One table for all category columns: column c reads row offset_c + code. Starts uniform in ±1/√dim.

    Source: Guo & Berkhahn 2016, arXiv:1604.06737, equation 2; start as in Gorishniy et al. 2021, arXiv:2106.11959.
    """

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int], dim: int):
        super().__init__()
        bound = dim**-0.5
        self.table = nn.Embedding(sum(cardinalities), dim, _weight=torch.empty(sum(cardinalities), dim))
        nn.init.uniform_(self.table.weight, -bound, bound)
        starts = torch.tensor([0, *cardinalities[:-1]]).cumsum(0)
        self.register_buffer("offsets", starts, persistent=False)

    def forward(self, codes: Int[Tensor, "batch category"]) -> Float[Tensor, "batch category dim"]:
        found: Tensor = self.table(codes + self.offsets)
        return found


class TokenEmbedding(nn.Module):
    """Token ids → vectors; id 0 is padding and gives zeros. Starts normal with deviation 1/√dim, or as told."""

    def __init__(self, vocab: int, dim: int, std: float | None = None):
        super().__init__()
        self.table = nn.Embedding(vocab, dim, padding_idx=0, _weight=torch.empty(vocab, dim))
        nn.init.normal_(self.table.weight, std=dim**-0.5 if std is None else std)
        with torch.no_grad():
            self.table.weight[0].zero_()

    def forward(self, ids: Int[Tensor, "batch token"]) -> Float[Tensor, "batch token dim"]:
        found: Tensor = self.table(ids)
        return found
