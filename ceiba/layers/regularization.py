"""Regularization that is part of the network."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

DRAWS = 2**16
"""Values of the 16 random bits that decide over one feature."""


class Dropout(nn.Module):
    """While training, a feature is zero with probability `share` and otherwise divided by 1 - share.

    On a processor each 64-bit random number decides over four features, which takes a quarter of the time of torch's
    mask; there `share` is met to 1/131,072.

    Source: Srivastava et al. 2014, section 4.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        kept = max(round((1 - self.share) * DRAWS), 1)
        if not self.training or kept == DRAWS:
            return values
        if values.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(values, self.share)
        numbers = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        draws = numbers.view(torch.int16)[: values.numel()].view(values.shape)
        return values * (draws < kept - DRAWS // 2).to(values.dtype).mul_(DRAWS / kept)

    def extra_repr(self) -> str:
        return f"{self.share}"


class StochasticDepth(nn.Module):
    """While training, a row's whole branch is zero with probability `share` and otherwise divided by 1 - share.

    Source: Huang et al. 2016, arXiv:1603.09382, section 3.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, branch: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        if not self.training or self.share == 0:
            return branch
        kept = branch.new_empty(branch.shape[0], *(1,) * (branch.ndim - 1)).bernoulli_(1 - self.share)
        return branch * kept / (1 - self.share)
