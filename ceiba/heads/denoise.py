"""Head `denoise`: the spans that were left out of a text, told by a decoder from what is left of it."""

from typing import Literal

from pydantic import Field

from ceiba.base.errors import RecipeError
from ceiba.heads.head import OutputLayout
from ceiba.heads.sequence import DecoderSpec, Taught


class DenoiseSpec(DecoderSpec):
    """What restores a text of which spans are left out: how an encoder and a decoder learn from plain text.

    Source: Raffel et al. 2020, arXiv:1910.10683, section 3.1.4; one table of token vectors: section 2.1.
    """

    type: Literal["denoise"] = "denoise"
    rate: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that is left out."""
    span: float = Field(3.0, ge=1)
    """Mean length of a span, in tokens."""
    table: Literal["input"] = "input"
    """Whose token vectors it reads and answers with: those of the text."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target's certainty that is spread evenly over all tokens, while training."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Denoise":
        if members:
            raise RecipeError("denoise must not answer for an ensemble", f"{members} members", "Use another encoder")
        return Denoise(self, output, dim)


class Denoise(Taught):
    """Learns what restores a row: each sentinel before the tokens that it stands for, and one that ends them."""

    answer = "text"
    masks = True
