"""Head `tags`: a tag for each word of a row."""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from ceiba.answers import Answer, TagsAnswer
from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.heads.head import Head, OutputLayout
from ceiba.layers import Dropout, LinearChain, Tokens
from ceiba.layers.attention import MASKED_SCORE


class TagsSpec(Spec):
    """One logit a tag at each word; a chain also weighs which tag follows which (a conditional random field)."""

    type: Literal["tags"] = "tags"
    crf: bool = True
    """Whether the tags of a row are chosen together, by a linear chain, or each for itself."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Tags":
        if members:
            raise RecipeError("tags must not answer for an ensemble", f"{members} members", "Use another encoder")
        return Tags(dim, output.classes, self.crf, self.dropout)


class Tags(Head):
    """A tag at each token; a target of 0 is none, label n is the target n + 1. Each token weighs one.

    With a chain, a row in which a token has no known tag is left out of the loss.
    """

    answer = "tags"
    per_token = True

    def __init__(self, dim: int, labels: int, crf: bool, dropout: float):
        nn.Module.__init__(self)
        self.members = 0
        self.dropout, self.linear = Dropout(dropout), nn.Linear(dim, labels)
        self.chain = LinearChain(labels) if crf else None

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch token label"]:
        """Emissions, and MASKED_SCORE for every tag where there is no token."""
        logits: Tensor = self.linear(self.dropout(tokens.values))
        return logits.masked_fill(~tokens.mask.unsqueeze(-1), MASKED_SCORE)

    def present(self, target: Int[Tensor, "batch token"]) -> Bool[Tensor, "batch token"]:
        return target > 0

    def row_weights(
        self, target: Int[Tensor, "batch token"], row_weight: Float[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch"]:
        known = self.present(target)
        tokens = known.sum(1).float()
        if self.chain is not None:  # tags stand from the first token on, unless one is lacking between
            tokens = tokens * (known[:, :-1] >= known[:, 1:]).all(1)
        return tokens if row_weight is None else tokens * row_weight

    def row_losses(
        self,
        logits: Float[Tensor, "batch token label"],
        target: Int[Tensor, "batch token"],
        present: Bool[Tensor, "batch token"] | None,
    ) -> Float[Tensor, "batch"]:
        """With a chain -log P(tags of the row), else Σ over its tokens of -log softmax(logits)."""
        known = self.present(target)
        tags = (target.long() - 1).clamp(min=0)
        if self.chain is None:
            losses = F.cross_entropy(logits.flatten(0, 1), tags.flatten(), reduction="none").view(target.shape)
            return (losses * known).sum(1)
        return self.chain.log_total(logits, known) - self.chain.score(logits, tags, known)

    def loss(
        self,
        logits: Float[Tensor, "batch token label"],
        target: Int[Tensor, "batch token"],
        row_weight: Float[Tensor, "batch"] | None = None,
        share: Float[Tensor, "batch"] | None = None,
        is_known: bool = False,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Σ of the rows' losses and Σ of their tokens."""
        losses = self.row_losses(logits.to(torch.promote_types(logits.dtype, torch.float32)), target, None)
        weight = self.row_weights(target)
        losses = torch.where(weight > 0, losses, 0.0)
        for factor in (row_weight, share):
            losses = losses if factor is None else losses * factor
        return losses.sum(), self.row_weights(target, row_weight).sum()

    def combine(self, logits: Float[Tensor, "batch token label"]) -> Float[Tensor, "batch token label"]:
        return logits

    def settle(self, answer: Answer) -> Answer:
        """The answer with the chain that was learnt, by which tags are chosen."""
        assert isinstance(answer, TagsAnswer)
        if self.chain is None:
            return answer
        chain = torch.cat([self.chain.transition.flatten(), self.chain.start, self.chain.end])
        return replace(answer, chain=tuple(chain.detach().cpu().double().tolist()))
