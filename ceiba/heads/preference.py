"""Head `preference`: a language model that is taught which of two answers is the better one."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.heads.head import Head, OutputLayout
from ceiba.heads.next_token import NextToken
from ceiba.layers import Tokens
from ceiba.layers.attention import MASKED_SCORE


class PreferenceSpec(Spec):
    """A language model whose better answers become more probable beside worse ones, the more so the less it already
    tells them apart more than the model that it began with, the reference, does (direct preference optimization).

    Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7.
    """

    type: Literal["preference"] = "preference"
    beta: float = Field(0.1, gt=0)
    """How dear it is to leave the reference: less moves further from it."""
    tied: bool = True
    """Whether the last matrix is the text encoder's table of token vectors; so it is where the model it begins with has
    it so."""
    likelihood: float = Field(0.0, ge=0)
    """What -log π(better) weighs beside it: preference alone lets both answers grow improbable, as long as the worse
    one does so faster. Source: Pang et al. 2024, arXiv:2404.19733, equation 1, not divided by the answer's length."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Preference":
        if members:
            raise RecipeError("preference must not answer for an ensemble", f"{members} members", "Use another encoder")
        return Preference(self, dim, output.classes)


class Preference(NextToken):
    """Writes like any language model; learns by what it makes of two answers to one prompt."""

    answer = "preference"
    compares = True
    row_weights, loss = Head.row_weights, Head.loss  # each pair weighs one, not each token

    def __init__(self, spec: PreferenceSpec, dim: int, vocab: int):
        super().__init__(dim, vocab, spec.tied, 0.0, spec.dropout)
        self.beta, self.likelihood = spec.beta, spec.likelihood

    def compare(
        self,
        tokens: Tokens,
        table: Float[Tensor, "vocab dim"] | None,
        answers: Int[Tensor, "batch token"],
        reference: Float[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch 2"]:
        """log π(better | prompt) and log π(worse | prompt), less those of the reference where they are known.

        `answers` are the tokens that follow, those of the worse answer negative, 0 where none is of an answer: for them
        alone logits are made.
        """
        row, place = answers.nonzero(as_tuple=True)
        told = answers[row, place].long()
        logits = self.logits(self.dropout(tokens.values[row, place]).unsqueeze(0), table)[0].float()
        logits[:, 0] = MASKED_SCORE
        likely = -F.cross_entropy(logits, told.abs(), reduction="none")
        sums = likely.new_zeros(len(answers), 2).index_put((row, (told < 0).long()), likely, accumulate=True)
        return sums if reference is None else sums - reference

    def present(self, target: Shaped[Tensor, "batch"]) -> Bool[Tensor, "batch"]:
        return target >= 0

    def row_losses(
        self, logits: Float[Tensor, "batch 2"], target: Shaped[Tensor, "batch"], present: Bool[Tensor, "batch"] | None
    ) -> Float[Tensor, "batch"]:
        """-log σ(β ((log π(y_w) - log π_ref(y_w)) - (log π(y_l) - log π_ref(y_l)))), and beside it
        λ (log π_ref(y_w) - log π(y_w)), whose gradient is that of the likelihood."""
        return -F.logsigmoid(self.beta * (logits[:, 0] - logits[:, 1])) - self.likelihood * logits[:, 0]

    def combine(self, logits: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 2"]:
        return logits

    def figures(self, logits: Float[Tensor, "batch 2"], target: Int[Tensor, "batch token"]) -> Float[Tensor, "batch 2"]:
        """Each row's two logarithms."""
        return logits
