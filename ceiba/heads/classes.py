"""Head `classes`: one of several classes."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from ceiba.base.spec import Spec
from ceiba.heads.head import Head, OutputLayout, class_weights, like_members
from ceiba.layers import Tokens


class ClassesSpec(Spec):
    """One logit a class."""

    type: Literal["classes"] = "classes"
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    """What a row of each class weighs."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target's certainty that is spread evenly over all classes."""
    focal: float = Field(0.0, ge=0)
    """γ of the focal loss: a row whose class has probability p weighs (1 - p)^γ; 0: cross-entropy."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Classes":
        return Classes(self, output, dim, members)


class Classes(Head):
    """Predicts one of several classes; a negative target is missing."""

    answer = "classes"
    weights: Tensor | None

    def __init__(self, spec: ClassesSpec, output: OutputLayout, dim: int, members: int):
        super().__init__(dim, output.classes, members, spec.dropout)
        self.label_smoothing, self.focal = spec.label_smoothing, spec.focal
        weights = class_weights(spec.class_weights, output, output.classes)
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch *member classes"]:
        return self.project(tokens)

    def present(self, target: Int[Tensor, "batch"]) -> Bool[Tensor, "batch"]:
        return target >= 0

    def row_losses(
        self,
        logits: Float[Tensor, "batch *member classes"],
        target: Int[Tensor, "batch"],
        present: Bool[Tensor, "batch"] | None,
    ) -> Float[Tensor, "batch *member"]:
        """(1 - p_y)^γ · (-(1 - ε) log p_y - ε/C Σ_c log p_c), with p = softmax(logits).

        Sources: label smoothing ε: Szegedy et al. 2016, arXiv:1512.00567, section 7; focal loss: Lin et al. 2017,
        arXiv:1708.02002, equation 4.
        """
        log_p = logits.log_softmax(-1)
        place = like_members(target, logits, self.members).unsqueeze(-1)
        loss = -log_p.gather(-1, place.long()).squeeze(-1)
        if self.label_smoothing:
            loss = (1 - self.label_smoothing) * loss - self.label_smoothing * log_p.mean(-1)
        if self.focal:
            # 1 - p_y as the sum of the other classes: its logarithm, and so any power, has a gradient where p_y is 1.
            loss = loss * (self.focal * log_p.scatter(-1, place.long(), -math.inf).logsumexp(-1)).exp()
        return loss

    @property
    def weighs_targets(self) -> bool:
        return self.weights is not None

    def target_weight(self, target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"] | None:
        return None if self.weights is None else self.weights[target]

    def combine(self, logits: Float[Tensor, "batch *member classes"]) -> Float[Tensor, "batch classes"]:
        """log of the mean over members of softmax(logits)."""
        return logits.log_softmax(-1).logsumexp(1) - math.log(self.members) if self.members else logits
