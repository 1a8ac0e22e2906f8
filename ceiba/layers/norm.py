"""Normalization that copes with a batch of one."""

from jaxtyping import Float
from torch import Tensor, nn


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
