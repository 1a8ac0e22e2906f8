"""Embeddings of numbers: x → a vector for every column, all columns in one operation.

Source: Gorishniy et al. 2022, arXiv:2203.05556.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PlainNumbers(nn.Module):
    """The number itself, as a vector of width one; nothing is learnt."""

    width = 1

    def forward(self, numbers: Float[Tensor, "batch number"]) -> Float[Tensor, "batch number 1"]:
        return numbers.unsqueeze(-1)


class ScalarNumbers(nn.Module):
    """x_j w_j + b_j. Both start uniform in ±1/√width.

    Source: Gorishniy et al. 2021, arXiv:2106.11959, section 3.3 (Feature Tokenizer).
    """

    def __init__(self, num_numbers: int, width: int):
        super().__init__()
        self.width = width
        bound = width**-0.5
        self.weight = nn.Parameter(torch.empty(num_numbers, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_numbers, width).uniform_(-bound, bound))

    def forward(self, numbers: Float[Tensor, "batch number"]) -> Float[Tensor, "batch number width"]:
        return numbers.unsqueeze(-1) * self.weight + self.bias


class PiecewiseNumbers(nn.Module):
    """ReLU(W_j e(x_j) + b_j), where e fills one place for each bin [left, right) that x has passed.

    e_t(x) = (x - left_t) / (right_t - left_t), not below 0 except in the first bin, not above 1 except in the last.
    A column without edges is taken as one endless bin: e(x) = x.
    Source: Gorishniy et al. 2022, arXiv:2203.05556, equation 1 and section 3.3 (PLE-LR).
    """

    left: Tensor
    slope: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, edges: Sequence[Sequence[float]], width: int):
        super().__init__()
        self.width = width
        bins = max((len(column) - 1 for column in edges), default=1)
        bins = max(bins, 1)
        table = {name: torch.zeros(len(edges), bins) for name in ("left", "slope", "low", "high")}
        for place, column in enumerate(edges):
            _fill_bins(table, place, column)
        for name, values in table.items():
            self.register_buffer(name, values)
        bound = bins**-0.5
        self.weight = nn.Parameter(torch.empty(len(edges), bins, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(len(edges), width).uniform_(-bound, bound))

    def encode(self, numbers: Float[Tensor, "batch number"]) -> Float[Tensor, "batch number bin"]:
        """The piecewise linear encoding e(x) alone; places beyond a column's last bin stay zero."""
        share = (numbers.unsqueeze(-1) - self.left) * self.slope
        return torch.minimum(torch.maximum(share, self.low), self.high)

    def forward(self, numbers: Float[Tensor, "batch number"]) -> Float[Tensor, "batch number width"]:
        return (torch.einsum("bnt,ntw->bnw", self.encode(numbers), self.weight) + self.bias).relu()


def _fill_bins(table: dict[str, Tensor], place: int, edges: Sequence[float]) -> None:
    last = max(len(edges) - 2, 0)
    for bin_ in range(last + 1):
        left, right = (edges[bin_], edges[bin_ + 1]) if len(edges) > 1 else (0.0, 1.0)
        table["left"][place, bin_] = left
        table["slope"][place, bin_] = 1.0 / (right - left)
        table["low"][place, bin_] = -math.inf if bin_ == 0 else 0.0
        table["high"][place, bin_] = math.inf if bin_ == last else 1.0


class PeriodicNumbers(nn.Module):
    """ReLU(W_j [sin(2π c_j x_j), cos(2π c_j x_j)] + b_j) with learnt frequencies c, which start normal(0, deviation).

    Source: Gorishniy et al. 2022, arXiv:2203.05556, equation 2 and section 3.3 (PLR).
    """

    def __init__(self, num_numbers: int, width: int, frequencies: int, deviation: float):
        super().__init__()
        self.width = width
        bound = (2 * frequencies) ** -0.5
        self.frequency = nn.Parameter(torch.empty(num_numbers, frequencies).normal_(0.0, deviation))
        self.weight = nn.Parameter(torch.empty(num_numbers, 2 * frequencies, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_numbers, width).uniform_(-bound, bound))

    def forward(self, numbers: Float[Tensor, "batch number"]) -> Float[Tensor, "batch number width"]:
        angle = 2 * math.pi * numbers.unsqueeze(-1) * self.frequency
        waves = torch.cat([angle.sin(), angle.cos()], dim=-1)
        return (torch.einsum("bnf,nfw->bnw", waves, self.weight) + self.bias).relu()
