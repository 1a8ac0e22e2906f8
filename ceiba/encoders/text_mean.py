"""Text encoder `mean`: the mean of the token vectors."""

from typing import Literal

from pydantic import Field

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.text_ids import in_order
from ceiba.fields import TextLayout
from ceiba.layers import Dropout, TokenEmbedding, Tokens, one_token, pool


class TextMeanSpec(Spec):
    """The mean of the token vectors; gives one token. Source: Joulin et al. 2016, arXiv:1607.01759, figure 1."""

    type: Literal["mean"] = "mean"
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped from the mean while training."""

    def build(self, layout: TextLayout, dim: int) -> "TextMean":
        return TextMean(in_order(layout, self.type), dim, self.dropout)


class TextMean(Encoder):
    """The mean of the token vectors."""

    def __init__(self, layout: TextLayout, dim: int, dropout: float):
        super().__init__()
        self.embedding = TokenEmbedding(layout.vocab, dim)
        self.dropout = Dropout(dropout)

    def forward(self, parts: Parts) -> Tokens:
        ids = parts["ids"]
        return one_token(self.dropout(pool(Tokens(self.embedding(ids), ids != 0))))
