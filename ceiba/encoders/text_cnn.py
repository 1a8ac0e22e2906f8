"""Text encoder `cnn`: convolutions over time, each filter's strongest answer."""

from typing import Literal

from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.text_ids import in_order
from ceiba.fields import TextLayout
from ceiba.layers import Dropout, TimeConvolutions, TokenEmbedding, Tokens, one_token


class TextCnnSpec(Spec):
    """Convolutions of several widths, their maximum over time; gives one token. Source: Kim 2014, arXiv:1408.5882."""

    type: Literal["cnn"] = "cnn"
    channels: int = Field(96, ge=1)
    """Filters of each kernel width."""
    kernels: tuple[int, ...] = Field((3, 4, 5), min_length=1)
    """Kernel widths, in tokens."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of features dropped, of the token vectors and of the maxima, while training."""

    def build(self, layout: TextLayout, dim: int) -> "TextCnn":
        return TextCnn(self, in_order(layout, self.type), dim)


class TextCnn(Encoder):
    """Convolutions over token vectors, pooled over time."""

    def __init__(self, spec: TextCnnSpec, layout: TextLayout, dim: int):
        super().__init__()
        self.embedding = TokenEmbedding(layout.vocab, dim)
        self.convolutions = TimeConvolutions(dim, spec.channels, spec.kernels)
        self.dropout = Dropout(spec.dropout)
        self.linear = nn.Linear(self.convolutions.width, dim)

    def forward(self, parts: Parts) -> Tokens:
        ids = parts["ids"]
        features = self.convolutions(self.dropout(self.embedding(ids)), ids != 0)
        return one_token(self.linear(self.dropout(features)))
