"""Text encoders `rnn`, `lstm`, `gru`: recurrent nets over the tokens."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.text_ids import in_order
from ceiba.fields import TextLayout
from ceiba.layers import Dropout, Recurrent, TokenEmbedding, Tokens


class RecurrentSpec(Spec):
    """What the three recurrent encoders have in common; gives one token a token."""

    type: Literal["rnn", "lstm", "gru"]
    width: int = Field(128, ge=1)
    """Width of the state, in each direction."""
    layers: int = Field(1, ge=1)
    """Recurrent layers."""
    bidirectional: bool = True
    """Whether a second net reads backward."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of features dropped, of the token vectors and after each layer, while training."""

    def build(self, layout: TextLayout, dim: int) -> "TextRecurrent":
        return TextRecurrent(self, in_order(layout, self.type), dim)


class RnnSpec(RecurrentSpec):
    """A plain recurrent net over the tokens."""

    type: Literal["rnn"] = "rnn"


class LstmSpec(RecurrentSpec):
    """A long short-term memory over the tokens."""

    type: Literal["lstm"] = "lstm"


class GruSpec(RecurrentSpec):
    """A gated recurrent unit over the tokens."""

    type: Literal["gru"] = "gru"


class TextRecurrent(Encoder):
    """A recurrent net over token vectors, and a linear map to the model's width."""

    def __init__(self, spec: RecurrentSpec, layout: TextLayout, dim: int):
        super().__init__()
        self.embedding = TokenEmbedding(layout.vocab, dim)
        self.recurrent = Recurrent(spec.type, dim, spec.width, spec.layers, spec.bidirectional, spec.dropout)
        self.dropout = Dropout(spec.dropout)
        self.linear = nn.Linear(self.recurrent.width, dim)

    @property
    def is_causal(self) -> bool:
        return not self.recurrent.backwards

    @property
    def table(self) -> Tensor:
        return self.embedding.table.weight

    def forward(self, parts: Parts) -> Tokens:
        ids = parts["ids"]
        mask = ids != 0
        hidden = self.recurrent(self.dropout(self.embedding(ids)), mask)
        return Tokens(self.linear(self.dropout(hidden)), mask)
