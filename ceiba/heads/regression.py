"""Head `regression`: a number."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.heads.head import Head, OutputLayout, like_members
from ceiba.layers import Tokens


class RegressionSpec(Spec):
    """One number a row, in standardized units."""

    type: Literal["regression"] = "regression"
    loss: Literal["mse", "mae", "huber", "quantile", "poisson"] = "mse"
    """mse (r²), mae (|r|), huber (r²/2 up to `delta`, delta · (|r| - delta/2) beyond), quantile (q · |r| below the
    target, (1 - q) · |r| above it), with r = prediction - target; poisson (rate - target · log rate) for counts."""
    delta: float = Field(1.0, gt=0)
    """Where huber turns from square to straight, in standard deviations of the target."""
    quantile: float = Field(0.5, gt=0, lt=1)
    """Share q of targets that lie below the prediction, for the loss quantile."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Regression":
        if self.loss != "poisson":
            return Regression(self, dim, members)
        if output.log:
            raise RecipeError("The loss poisson needs a target without log", "log: true", "Leave log out")
        if output.low < 0 or output.mean <= 0:
            raise RecipeError("The loss poisson needs counts from 0 up, not all 0", output.low, "Use the loss mse")
        return PoissonRegression(self, output, dim, members)


class Regression(Head):
    """Predicts a standardized number; a NaN target is missing."""

    answer = "number"

    def __init__(self, spec: RegressionSpec, dim: int, members: int):
        super().__init__(dim, 1, members, spec.dropout)
        self.loss_name, self.delta, self.quantile = spec.loss, spec.delta, spec.quantile

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch *member"]:
        return self.project(tokens).squeeze(-1)

    def present(self, target: Float[Tensor, "batch"]) -> Bool[Tensor, "batch"]:
        return target.isfinite()

    def row_losses(
        self,
        logits: Float[Tensor, "batch *member"],
        target: Float[Tensor, "batch"],
        present: Bool[Tensor, "batch"] | None,
    ) -> Float[Tensor, "batch *member"]:
        """As the spec's `loss` says. Sources: Huber 1964, "Robust estimation of a location parameter", section 2;
        quantile: Koenker & Bassett 1978, "Regression quantiles", equation 1.2."""
        difference = logits - like_members(target, logits, self.members)
        if self.loss_name == "quantile":
            return torch.maximum(-self.quantile * difference, (1 - self.quantile) * difference)
        size = difference.abs()
        if self.loss_name == "mae":
            return size
        if self.loss_name == "mse":
            return size * size
        return torch.where(size <= self.delta, size * size / 2, self.delta * (size - self.delta / 2))

    def combine(self, logits: Float[Tensor, "batch *member"]) -> Float[Tensor, "batch"]:
        return logits.mean(1) if self.members else logits


class PoissonRegression(Regression):
    """Predicts the rate of a Poisson distribution: mean of the target · e^logit, in the target's own unit."""

    def __init__(self, spec: RegressionSpec, output: OutputLayout, dim: int, members: int):
        super().__init__(spec, dim, members)
        self.mean, self.std = output.mean, output.std

    def row_losses(
        self,
        logits: Float[Tensor, "batch *member"],
        target: Float[Tensor, "batch"],
        present: Bool[Tensor, "batch"] | None,
    ) -> Float[Tensor, "batch *member"]:
        """rate - y log(rate), the negative logarithm of the Poisson likelihood but for log(y!).

        Source: McCullagh & Nelder 1989, "Generalized linear models", section 6.2.
        """
        count = like_members(target, logits, self.members) * self.std + self.mean
        log_rate = logits + math.log(self.mean)
        return log_rate.exp() - count * log_rate

    def combine(self, logits: Float[Tensor, "batch *member"]) -> Float[Tensor, "batch"]:
        """The mean rate over the members, in standardized units, as every answer of a regression."""
        rate = self.mean * logits.exp()
        return ((rate.mean(1) if self.members else rate) - self.mean) / self.std
