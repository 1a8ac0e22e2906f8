"""Text encoder `transformer`: attention between the tokens."""

from typing import Literal

from pydantic import Field

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.text_ids import in_order
from ceiba.fields import TextLayout
from ceiba.layers import Dropout, Positions, TokenEmbedding, Tokens, Transformer


class TextTransformerSpec(Spec):
    """Token vectors with learnt positions, then Transformer blocks; gives one token a token.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 3; norm first.
    """

    type: Literal["transformer"] = "transformer"
    layers: int = Field(2, ge=0)
    """Transformer blocks; 0 leaves the mixing to the trunk."""
    heads: int = Field(4, ge=1)
    """Attention heads; must divide the model's dim."""
    feed_forward: float = Field(4.0, gt=0)
    """Width of the inner dense layer, in multiples of dim."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped, of the token vectors and in each block, while training."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Share of rows for which the last block's branches are dropped while training."""

    def build(self, layout: TextLayout, dim: int) -> "TextTransformer":
        return TextTransformer(self, in_order(layout, self.type), dim)


class TextTransformer(Encoder):
    """Token vectors with positions, mixed by a Transformer."""

    def __init__(self, spec: TextTransformerSpec, layout: TextLayout, dim: int):
        super().__init__()
        self.embedding = TokenEmbedding(layout.vocab, dim)
        self.positions = Positions(layout.max_tokens, dim)
        self.dropout = Dropout(spec.dropout)
        self.transformer = None
        if spec.layers:
            inner = max(1, round(spec.feed_forward * dim))
            self.transformer = Transformer(dim, spec.layers, spec.heads, inner, spec.dropout, spec.drop_path)

    def forward(self, parts: Parts) -> Tokens:
        ids = parts["ids"]
        tokens = Tokens(self.dropout(self.positions(self.embedding(ids))), ids != 0)
        return tokens if self.transformer is None else self.transformer(tokens)
