"""Head `span`: the piece of a text that answers, or that there is none."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.heads.head import Head, OutputLayout
from ceiba.layers import Dropout, Tokens
from ceiba.layers.attention import MASKED_SCORE

BEGIN, END, FIRST, LAST = range(4)
"""What is said of each token: the logits that the answer begins and ends there, and where it stands in the text."""


class SpanSpec(Spec):
    """Two logits a token: that the answer begins there, that it ends there; the first token stands for no answer."""

    type: Literal["span"] = "span"
    max_answer: int = Field(30, ge=1)
    """Tokens of an answer at most."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped before the last linear layer while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Span":
        if members:
            raise RecipeError("span must not answer for an ensemble", f"{members} members", "Use another encoder")
        return Span(self, dim)


class Span(Head):
    """Begin and end of an answer among tokens whose places in the text are known; a target is a pair of places, (0, 0)
    for no answer, negative if it is not known. Source: Devlin et al. 2019, arXiv:1810.04805, sections 4.2 and 4.3."""

    answer = "span"
    per_token = True
    quotes = True

    def __init__(self, spec: SpanSpec, dim: int):
        nn.Module.__init__(self)
        self.members, self.max_answer = 0, spec.max_answer
        self.dropout, self.linear = Dropout(spec.dropout), nn.Linear(dim, 2)

    def forward(
        self, tokens: Tokens, places: Int[Tensor, "batch token 2"] | None = None
    ) -> Float[Tensor, "batch token 4"]:
        """The logits of begin and end, MASKED_SCORE where no answer can be, and the places themselves."""
        assert places is not None
        logits: Tensor = self.linear(self.dropout(tokens.values)).float()
        may = places[..., 1] > 0
        may = torch.cat([torch.ones_like(may[:, :1]), may[:, 1:]], 1)  # the first token stands for no answer
        return torch.cat([logits.masked_fill(~may.unsqueeze(-1), MASKED_SCORE), places.float()], -1)

    def present(self, target: Int[Tensor, "batch 2"]) -> Bool[Tensor, "batch 2"]:
        return target >= 0

    def row_losses(
        self,
        logits: Float[Tensor, "batch token 4"],
        target: Int[Tensor, "batch 2"],
        present: Bool[Tensor, "batch 2"] | None,
    ) -> Float[Tensor, "batch"]:
        """-(log P(begin) + log P(end)) / 2; an answer whose ends were cut off with its text counts as none."""
        begin, end, first, last = logits.unbind(-1)
        start, stop = target[:, :1], target[:, 1:]
        begins = (first <= start) & (start < last) & (stop > 0)
        ends = (first < stop) & (stop <= last)
        whole = (begins.any(1) & ends.any(1)).unsqueeze(1)
        losses = [
            F.cross_entropy(one, ((found & whole).int().argmax(1)).long(), reduction="none")
            for one, found in ((begin, begins), (end, ends))
        ]
        return (losses[0] + losses[1]) / 2

    def combine(self, logits: Float[Tensor, "batch token 4"]) -> Float[Tensor, "batch 3"]:
        """Begin and end of the best span, in characters, and how much more than no answer its two logits add up to."""
        begin, end, first, last = logits.unbind(-1)
        tokens = begin.shape[1]
        place = torch.arange(tokens, device=logits.device)
        length = place.unsqueeze(0) - place.unsqueeze(1) + 1
        may = (length >= 1) & (length <= self.max_answer) & (place > 0).unsqueeze(1)
        both = (begin.unsqueeze(2) + end.unsqueeze(1)).masked_fill(~may, 2 * MASKED_SCORE)
        best, end_of = both.max(2)  # of each begin
        best, begins = best.max(1, keepdim=True)
        ends = end_of.gather(1, begins)
        margin = best - begin[:, :1] - end[:, :1]
        return torch.cat([first.gather(1, begins), last.gather(1, ends), margin], 1)
