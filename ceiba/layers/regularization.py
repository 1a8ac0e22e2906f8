"""Regularization that is part of the network."""

from jaxtyping import Float
from torch import Tensor, nn


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
