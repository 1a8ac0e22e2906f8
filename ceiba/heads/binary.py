"""Head `binary`: one of two classes."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.heads.head import Head, OutputLayout, class_weights, like_members
from ceiba.layers import Tokens


class BinarySpec(Spec):
    """One logit a row: of the second class against the first."""

    type: Literal["binary"] = "binary"
    class_weights: Literal["balanced"] | tuple[float, float] | None = None
    """What a row of the first and of the second class weighs."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of certainty taken from the target: 1 becomes 1 - share/2, 0 becomes share/2."""
    focal: float = Field(0.0, ge=0)
    """γ of the focal loss: a row whose class has probability p weighs (1 - p)^γ; 0: cross-entropy."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Binary":
        if output.classes != 2:
            raise RecipeError("binary needs two classes", output.classes, "Use the head classes")
        return Binary(self, output, dim, members)


def mean_logit(logits: Float[Tensor, "batch member ..."]) -> Float[Tensor, "batch ..."]:
    """log p - log(1 - p) of the mean probability p over the members, without leaving log space."""
    return F.logsigmoid(logits).logsumexp(1) - F.logsigmoid(-logits).logsumexp(1)


class Binary(Head):
    """Predicts the second of two classes; a target that is neither 0 nor 1 is missing."""

    answer = "binary"
    weights: Tensor | None

    def __init__(self, spec: BinarySpec, output: OutputLayout, dim: int, members: int):
        super().__init__(dim, 1, members, spec.dropout)
        self.label_smoothing, self.focal = spec.label_smoothing, spec.focal
        weights = class_weights(spec.class_weights, output, 2)
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch *member"]:
        return self.project(tokens).squeeze(-1)

    def present(self, target: Int[Tensor, "batch"]) -> Bool[Tensor, "batch"]:
        return target >= 0

    def row_losses(
        self,
        logits: Float[Tensor, "batch *member"],
        target: Int[Tensor, "batch"],
        present: Bool[Tensor, "batch"] | None,
    ) -> Float[Tensor, "batch *member"]:
        """-y log σ(z) - (1 - y) log σ(-z), written as max(z, 0) - y z + log(1 + e^-|z|) so that nothing overflows;
        times (1 - p)^γ, p being the probability of the row's class.

        Source: focal loss: Lin et al. 2017, arXiv:1708.02002, equation 4.
        """
        soft = target.to(logits.dtype)
        if self.label_smoothing:
            soft = soft * (1 - self.label_smoothing) + self.label_smoothing / 2
        truth = like_members(soft, logits, self.members)
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        if self.focal:
            side = like_members((1 - 2 * target).to(logits.dtype), logits, self.members)
            loss = loss * (self.focal * F.logsigmoid(side * logits)).exp()
        return loss

    @property
    def weighs_targets(self) -> bool:
        return self.weights is not None

    def target_weight(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"] | None:
        return None if self.weights is None else self.weights[target]

    def combine(self, logits: Float[Tensor, "batch *member"]) -> Float[Tensor, "batch"]:
        return mean_logit(logits) if self.members else logits
