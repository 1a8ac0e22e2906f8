"""Head `regression`: a number."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ceiba.base.spec import Spec
from ceiba.heads.head import Head, OutputLayout, like_members
from ceiba.layers import Tokens


class RegressionSpec(Spec):
    """One number a row, in standardized units."""

    type: Literal["regression"] = "regression"
    loss: Literal["mse", "mae", "huber"] = "mse"
    """mse (r²), mae (|r|) or huber (r²/2 up to `delta`, delta · (|r| - delta/2) beyond), r = prediction - target."""
    delta: float = Field(1.0, gt=0)
    """Where huber turns from square to straight, in standard deviations of the target."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Regression":
        return Regression(self, dim, members)


class Regression(Head):
    """Predicts a standardized number; a NaN target is missing."""

    answer = "number"
    metrics = ("rmse", "mae", "r2")

    def __init__(self, spec: RegressionSpec, dim: int, members: int):
        super().__init__(dim, 1, members, spec.dropout)
        self.loss_name, self.delta = spec.loss, spec.delta

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch *member"]:
        return self.project(tokens).squeeze(-1)

    def present(self, target: Float[Tensor, "batch"]) -> Bool[Tensor, "batch"]:
        return target.isfinite()

    def row_losses(
        self, logits: Float[Tensor, "batch *member"], target: Float[Tensor, "batch"], present: Bool[Tensor, "batch"]
    ) -> Float[Tensor, "batch *member"]:
        """As the spec's `loss` says. Source: Huber 1964, "Robust estimation of a location parameter", section 2."""
        size = (logits - like_members(target, logits, self.members)).abs()
        if self.loss_name == "mae":
            return size
        if self.loss_name == "mse":
            return size * size
        return torch.where(size <= self.delta, size * size / 2, self.delta * (size - self.delta / 2))

    def combine(self, logits: Float[Tensor, "batch *member"]) -> Float[Tensor, "batch"]:
        return logits.mean(1) if self.members else logits
