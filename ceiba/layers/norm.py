"""Normalization: over the features of a token, and over a batch in a form that copes with a batch of one."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

TokenNorm = Literal["layer", "rms"]


def token_norm(kind: TokenNorm, dim: int, eps: float = 1e-5, bias: bool = True) -> nn.LayerNorm | nn.RMSNorm:
    """(x - mean) / √(variance + ε) · weight + bias, or x / √(mean square + ε) · weight, over each token's features.

    Sources: Ba et al. 2016, arXiv:1607.06450, equation 4; Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.
    """
    return nn.LayerNorm(dim, eps, bias=bias) if kind == "layer" else nn.RMSNorm(dim, eps)


class BatchNorm1d(nn.BatchNorm1d):
    """(x - mean) / √(variance + ε) · weight + bias, with mean and variance over the batch.

    A single value a channel has no variance: it is normed by the running figures, as when the net is used.
    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """

    def forward(self, input: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        if self.training and input.shape[0] == 1:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class BatchNorm2d(nn.BatchNorm2d):
    """The same for images, with mean and variance over the batch and all places."""

    def forward(
        self, input: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)
