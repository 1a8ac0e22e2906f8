"""Head `sequence`: a text, written token by token from the tokens of the inputs. Translation, summaries."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec, one_of
from ceiba.heads.head import OutputLayout
from ceiba.heads.next_token import TokenHead
from ceiba.heads.search import beam_search
from ceiba.layers import (
    POSITIONS,
    Decoder,
    Dropout,
    GruDecoder,
    LearnedPositionsSpec,
    TokenEmbedding,
    Tokens,
    TransformerOptions,
)
from ceiba.layers.attention import MASKED_SCORE

DECODER_OPTIONS = tuple(
    name for name in TransformerOptions.model_fields if name not in ("causal", "window", "drop_path", "init")
)
"""What can be told of a decoder."""
ROWS_AT_ONCE = 128
"""Rows whose texts are written together: short ones need not wait for the longest of all."""


class TaughtSpec(Spec):
    """What all heads have in common that are taught a text token by token."""

    type: str
    """The head."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped from token vectors, between layers and before the answer while training."""
    table: Literal["own", "input"] = "own"
    """Whose token vectors it reads and answers with: its own, or those of the input that has the same tokens; so it is
    where the output says `share`. Source: Press & Wolf 2017, arXiv:1608.05859."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the target's certainty that is spread evenly over all tokens, while training."""

    @property
    def std(self) -> float | None:
        """Deviation of new token vectors; None: 1/√dim."""
        return None

    def inner(self, dim: int, most: int) -> tuple[nn.Module | None, Decoder | GruDecoder]:
        """What tells tokens their place, and the decoder, for texts of at most so many tokens."""
        raise NotImplementedError


class WritingSpec(TaughtSpec):
    """What all heads that write a text have in common."""

    beams: int = Field(5, ge=1)
    """Beginnings that are kept while a text is written; 1: the most probable token at every step."""
    length_penalty: float = Field(0.6, ge=0)
    """α of the power of its length by which a text's score is divided: more makes longer texts."""

    def build(self, output: OutputLayout, dim: int, members: int) -> "Sequence":
        if members:
            rule = f"{self.type} must not answer for an ensemble"
            raise RecipeError(rule, f"{members} members", "Use another encoder")
        return Sequence(self, output, dim)


class DecoderSpec(TransformerOptions, TaughtSpec):
    """A Transformer decoder: each token from those before it and, by cross-attention, from the inputs' tokens.

    Source: Vaswani et al. 2017, arXiv:1706.03762; label smoothing: Szegedy et al. 2015, arXiv:1512.00567, section 7.
    """

    layers: int = Field(2, ge=1)
    """Decoder blocks."""
    positions: one_of(POSITIONS) = LearnedPositionsSpec()  # type: ignore[valid-type]
    """How tokens know their place: none, learned, sinusoidal or rotary."""
    causal: Literal[True] = True
    """A text is written forward."""

    def inner(self, dim: int, most: int) -> tuple[nn.Module | None, Decoder | GruDecoder]:
        if self.window is not None or self.drop_path or self.init != "torch":
            raise RecipeError(f"{self.type} has neither window, drop_path nor init", "one of them", "Leave it out")
        return self.positions.build(dim, most, self.std), Decoder(dim, self)


class SequenceSpec(DecoderSpec, WritingSpec):
    """A text that is written by a Transformer decoder, from the inputs' tokens."""

    type: Literal["sequence"] = "sequence"


class SequenceGruSpec(WritingSpec):
    """A recurrent decoder: each token from a state of those before it and, by additive attention, from the inputs'
    tokens. Source: Bahdanau et al. 2015, arXiv:1409.0473."""

    type: Literal["sequence_gru"] = "sequence_gru"
    layers: int = Field(1, ge=1)
    """Recurrent layers, one above another; the topmost asks the inputs."""
    width: int | None = Field(None, ge=1)
    """Numbers of a state; nothing: as many as a token has."""

    def inner(self, dim: int, most: int) -> tuple[nn.Module | None, Decoder | GruDecoder]:
        return None, GruDecoder(dim, self.width or dim, self.layers, self.dropout)


class Taught(TokenHead):
    """Learnt with the true text before each token (teacher forcing), each token weighing one. The token that ends a
    text is also what stands before its first one."""

    per_token = False
    writes = True

    def __init__(self, spec: TaughtSpec, output: OutputLayout, dim: int):
        super().__init__(dim, output.classes, True, spec.label_smoothing, 0.0)
        self.tied = spec.table == "input"
        self.end = output.end
        self.embedding = None if self.tied else TokenEmbedding(output.classes, dim, spec.std)
        self.positions, decoder = spec.inner(dim, output.max_tokens)
        self.input_dropout, self.decoder = Dropout(spec.dropout), decoder

    def _table(self, table: Float[Tensor, "vocab dim"] | None) -> Float[Tensor, "vocab dim"]:
        if self.embedding is not None:
            return self.embedding.table.weight
        assert table is not None
        return table

    def _vectors(
        self, ids: Int[Tensor, "batch token"], table: Float[Tensor, "vocab dim"],
        places: Int[Tensor, "1 token"] | None = None,
    ) -> Float[Tensor, "batch token dim"]:  # fmt: skip
        values = F.embedding(ids, table, padding_idx=0)
        placed: Tensor = self.input_dropout(values if self.positions is None else self.positions(values, places))
        return placed

    def _logits(
        self, values: Float[Tensor, "batch token dim"], table: Float[Tensor, "vocab dim"]
    ) -> Float[Tensor, "batch token vocab"]:
        logits = F.linear(values, table)
        logits[..., 0] = MASKED_SCORE
        return logits

    def forward(
        self,
        tokens: Tokens,
        table: Float[Tensor, "vocab dim"] | None = None,
        text: Int[Tensor, "batch token"] | None = None,
    ) -> Float[Tensor, "batch token vocab"]:
        """The logits of each token of the true texts."""
        assert text is not None
        table = self._table(table)
        before = torch.cat([torch.full_like(text[:, :1], self.end), text[:, :-1]], 1)
        return self._logits(self.decoder(self._vectors(before, table), tokens), table)


class Sequence(Taught):
    """Answers with the text that beam search finds; what it learns from ends with the token `end`."""

    answer = "sequence"

    def __init__(self, spec: WritingSpec, output: OutputLayout, dim: int):
        super().__init__(spec, output, dim)
        self.most, self.beams, self.length_penalty = output.max_tokens, spec.beams, spec.length_penalty

    def write(
        self, tokens: Tokens, table: Float[Tensor, "vocab dim"] | None = None
    ) -> Float[Tensor, "batch token_and_score"]:
        """Each row's score, log p / length penalty, and then its text: token ids, 0 after its end."""
        table = self._table(table)
        parts = []
        for start in range(0, len(tokens.values), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            parts.append(self._write(Tokens(tokens.values[rows], tokens.mask[rows]), table))
        return torch.cat(parts)

    def _write(self, tokens: Tokens, table: Float[Tensor, "vocab dim"]) -> Float[Tensor, "batch token_and_score"]:
        rows, device = len(tokens.values), tokens.values.device
        written = self.decoder.begin(tokens)
        written.keep(torch.arange(rows, device=device).repeat_interleave(self.beams))

        def step(last: Tensor) -> Tensor:
            values = self._vectors(last.unsqueeze(1), table, written.places)
            return self._logits(self.decoder(values, written), table)[:, 0]

        text, score = beam_search(
            step, written.keep, rows, self.beams, self.end, self.most, self.length_penalty, device
        )
        return torch.cat([score.unsqueeze(1), text.float()], 1)
