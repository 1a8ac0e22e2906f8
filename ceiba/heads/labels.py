"""Head `labels`: any number of labels at once."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ceiba.base.spec import Spec
from ceiba.heads.binary import mean_logit
from ceiba.heads.head import Head, OutputLayout, class_weights, like_members
from ceiba.layers import Tokens


class LabelsSpec(Spec):
    """One logit a label, each a yes or no of its own."""

    type: Literal["labels"] = "labels"
    label_weights: tuple[float, ...] | None = None
    """What a present label weighs in its own loss, one number a label; an absent one weighs 1."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Labels":
        return Labels(self, output, dim, members)


class Labels(Head):
    """Predicts every label of a row; a NaN target is missing, a row without a known label has no weight."""

    answer = "labels"
    weights: Tensor | None

    def __init__(self, spec: LabelsSpec, output: OutputLayout, dim: int, members: int):
        super().__init__(dim, output.classes, members, spec.dropout)
        weights = class_weights(spec.label_weights, output, output.classes)
        self.register_buffer("weights", None if weights is None else torch.tensor(weights), persistent=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch *member label"]:
        return self.project(tokens)

    def present(self, target: Float[Tensor, "batch label"]) -> Bool[Tensor, "batch label"]:
        return target.isfinite()

    def row_losses(
        self,
        logits: Float[Tensor, "batch *member label"],
        target: Float[Tensor, "batch label"],
        present: Bool[Tensor, "batch label"] | None,
    ) -> Float[Tensor, "batch *member"]:
        """Mean over the known labels of -w_l y_l log σ(z_l) - (1 - y_l) log σ(-z_l)."""
        truth = like_members(target.to(logits.dtype), logits, self.members)
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none", pos_weight=self.weights)
        if present is None:
            return loss.mean(-1)
        known = like_members(present, logits, self.members)
        return (loss * known).sum(-1) / known.sum(-1).clamp(min=1)

    def combine(self, logits: Float[Tensor, "batch *member label"]) -> Float[Tensor, "batch label"]:
        return mean_logit(logits) if self.members else logits
