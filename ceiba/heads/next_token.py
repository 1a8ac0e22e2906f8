"""Head `next_token`: after each token, which one comes next. A language model."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.heads.chunked import chunked_cross_entropy
from ceiba.heads.head import Head, OutputLayout
from ceiba.layers import Dropout, Tokens
from ceiba.layers.attention import MASKED_SCORE

MOST_LOGITS = 1 << 26
"""Logits of a training step that are made at once: a quarter of a gigabyte in float32, of which there are then several
copies. Below it, making them all is as fast."""
LEAST_ROWS = 64
"""Rows whose logits are made at once, at least."""


class NextTokenSpec(Spec):
    """One logit a token of the vocabulary, at every token; needs a network that never looks ahead.

    Source: Bengio et al. 2003, "A neural probabilistic language model", section 2; causal Transformer: Radford et al.
    2018, "Improving language understanding by generative pre-training", equations 1 and 2.
    """

    type: Literal["next_token"] = "next_token"
    tied: bool = True
    """Whether the last matrix is the text encoder's table of token vectors. Source: Press & Wolf 2017,
    arXiv:1608.05859."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target's certainty that is spread evenly over all tokens."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "NextToken":
        if members:
            raise RecipeError("next_token must not answer for an ensemble", f"{members} members", "Use another encoder")
        return NextToken(dim, output.classes, self.tied, self.label_smoothing, self.dropout)


class TokenHead(Head):
    """A loss at every token. A target of 0 is none; 0, which is padding, is never answered.

    Each token weighs one, so a batch's loss is the mean over its tokens, however they are shared out over rows.
    """

    answer = "text"
    per_token = True

    def __init__(self, dim: int, vocab: int, tied: bool, label_smoothing: float, dropout: float):
        nn.Module.__init__(self)
        self.members = 0
        self.tied, self.label_smoothing = tied, label_smoothing
        self.dropout = Dropout(dropout)
        if not tied:
            self.linear = nn.Linear(dim, vocab, bias=False)
            nn.init.normal_(self.linear.weight, std=dim**-0.5)

    @property
    def smoothing(self) -> float:
        """Of the loss that is learnt; what is measured is not smoothed."""
        return self.label_smoothing if self.training else 0.0

    def logits(
        self, values: Float[Tensor, "batch token dim"], table: Float[Tensor, "vocab dim"] | None = None
    ) -> Float[Tensor, "batch token vocab"]:
        """The last matrix: its own, or the table of token vectors."""
        if self.tied:
            assert table is not None
            return F.linear(values, table)
        found: Tensor = self.linear(values)
        return found

    def forward(
        self, tokens: Tokens, table: Float[Tensor, "vocab dim"] | None = None
    ) -> Float[Tensor, "batch token vocab"]:
        logits = self.logits(self.dropout(tokens.values), table)
        logits[..., 0] = MASKED_SCORE
        return logits

    def present(self, target: Int[Tensor, "batch token"]) -> Bool[Tensor, "batch token"]:
        return target > 0

    def row_weights(
        self, target: Int[Tensor, "batch token"], row_weight: Float[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch"]:
        tokens = self.present(target).sum(1).float()
        return tokens if row_weight is None else tokens * row_weight

    def row_losses(
        self,
        logits: Float[Tensor, "batch token vocab"],
        target: Int[Tensor, "batch token"],
        present: Bool[Tensor, "batch token"] | None,
    ) -> Float[Tensor, "batch"]:
        """Σ over a row's tokens of -(1 - ε) log p_y - ε/V Σ_v log p_v."""
        losses = F.cross_entropy(
            logits.flatten(0, 1), target.flatten().long(), ignore_index=0, reduction="none",
            label_smoothing=self.smoothing,
        )  # fmt: skip
        return losses.view(target.shape).sum(1)

    def loss(
        self,
        logits: Float[Tensor, "batch token vocab"],
        target: Int[Tensor, "batch token"],
        row_weight: Float[Tensor, "batch"] | None = None,
        share: Float[Tensor, "batch"] | None = None,
        is_known: bool = False,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Σ of the tokens' losses and Σ of their weights."""
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if row_weight is None and share is None:
            place = target.flatten().long()
            total = F.cross_entropy(
                wide.flatten(0, 1), place, ignore_index=0, reduction="sum", label_smoothing=self.smoothing
            )
            return total, (total.new_full((), target.numel()) if is_known else self.present(target).sum().to(wide))
        losses = self.row_losses(wide, target, None)
        for factor in (row_weight, share):
            losses = losses if factor is None else losses * factor
        return losses.sum(), self.row_weights(target, row_weight).sum()

    def combine(self, logits: Float[Tensor, "batch token vocab"]) -> Float[Tensor, "batch token vocab"]:
        return logits

    def figures(
        self, logits: Float[Tensor, "batch token vocab"], target: Int[Tensor, "batch token"]
    ) -> Float[Tensor, "batch 2"]:
        """Each row's -Σ log p of its targets, in nats, and how many there are."""
        place = target.flatten().long()
        wide = logits.float().flatten(0, 1)
        losses = F.cross_entropy(wide, place, ignore_index=0, reduction="none").view(target.shape)
        return torch.stack([losses.sum(1), (target > 0).sum(1).float()], 1)


class NextToken(TokenHead):
    """Predicts every token from those before it.

    Logits of many tokens over many words are most of the memory of a training step. Where there are more than
    `most_logits`, none are given while training: `forward` gives the vectors that they are made of, and `loss` makes
    them a few rows at a time.
    """

    shifts = True
    most_logits: int | None = None
    """Logits that a training step may hold at once, set by who reads them only through `loss`; None: any number."""
    matrix: tuple[Tensor, ...] = ()
    """What this step's vectors are still to be multiplied with, where `forward` gave them in place of logits; in a
    tuple, for a module would take a parameter for its own."""

    def forward(
        self, tokens: Tokens, table: Float[Tensor, "vocab dim"] | None = None
    ) -> Float[Tensor, "batch token vocab_or_dim"]:
        matrix = table if self.tied else self.linear.weight
        assert matrix is not None
        is_large = self.most_logits is not None and tokens.mask.numel() * len(matrix) > self.most_logits
        if not (is_large and self.training and torch.is_grad_enabled() and not self.label_smoothing):
            self.matrix = ()
            return super().forward(tokens, table)
        self.matrix = (matrix,)
        vectors: Tensor = self.dropout(tokens.values)
        return vectors

    def loss(
        self,
        logits: Float[Tensor, "batch token vocab_or_dim"],
        target: Int[Tensor, "batch token"],
        row_weight: Float[Tensor, "batch"] | None = None,
        share: Float[Tensor, "batch"] | None = None,
        is_known: bool = False,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        kept, self.matrix = self.matrix, ()
        if not kept:
            return super().loss(logits, target, row_weight, share, is_known)
        (matrix,) = kept
        there = self.present(target)
        weights = there.float()
        for factor in (row_weight, share):
            weights = weights if factor is None else weights * factor.unsqueeze(1)
        never = torch.zeros(len(matrix), device=matrix.device)
        never[0] = MASKED_SCORE
        assert self.most_logits is not None
        rows = max(self.most_logits // len(matrix), LEAST_ROWS)
        total = chunked_cross_entropy(
            logits.flatten(0, 1), matrix, target.flatten(), never, weights.flatten(), chunk_rows=rows
        )
        if row_weight is None and share is None:
            return total, (total.new_full((), target.numel()) if is_known else there.sum().to(total))
        return total, self.row_weights(target, row_weight).sum()
