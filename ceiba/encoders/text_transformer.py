"""Text encoder `transformer`: attention between the tokens."""

from typing import Literal

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import one_of
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.text_ids import in_order
from ceiba.fields import TextLayout
from ceiba.layers import (
    POSITIONS,
    Dropout,
    LearnedPositionsSpec,
    RotaryPositionsSpec,
    TokenEmbedding,
    Tokens,
    Transformer,
    TransformerOptions,
    token_norm,
)
from ceiba.layers.transformer import NORMAL_STD


class TextTransformerSpec(TransformerOptions):
    """Token vectors with positions, then Transformer blocks; gives one token a token.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 3; norm first.
    """

    type: Literal["transformer"] = "transformer"
    layers: int = Field(2, ge=0)
    """Transformer blocks; 0 leaves the mixing to the trunk."""
    positions: one_of(POSITIONS) = LearnedPositionsSpec()  # type: ignore[valid-type]
    """How tokens know their place: none, learned, sinusoidal or rotary."""
    embedding_norm: bool = False
    """Whether the token vectors with their positions are normed before the first block."""
    segments: int = Field(0, ge=0)
    """Segments of a text that have a learnt vector, added to each of their tokens; 0: none."""
    separator: int | None = None
    """Token id that ends a segment; null: the tokenizer's, or all tokens stand in the first one."""

    def build(self, layout: TextLayout, dim: int) -> "TextTransformer":
        if isinstance(self.positions, RotaryPositionsSpec) and not self.layers:
            raise RecipeError("positions: rotary acts within blocks", "layers: 0", "Give it to model.trunk")
        places = getattr(self.positions, "places", None)
        if places is not None and places < layout.max_tokens:
            raise RecipeError(
                f"max_tokens must be at most the positions' places ({places})", layout.max_tokens, "Cut more"
            )
        return TextTransformer(self, in_order(layout, self.type), dim)


class TextTransformer(Encoder):
    """Token vectors with positions, mixed by a Transformer."""

    def __init__(self, spec: TextTransformerSpec, layout: TextLayout, dim: int):
        super().__init__()
        self.causal = spec.causal
        self.embedding = TokenEmbedding(layout.vocab, dim, spec.std)
        self.positions = spec.positions.build(dim, layout.max_tokens, spec.std)
        self.segments = None
        if spec.segments:
            self.separator = layout.separator if spec.separator is None else spec.separator
            self.segments = nn.Embedding(spec.segments, dim, _weight=torch.randn(spec.segments, dim) * NORMAL_STD)
        self.norm = token_norm(spec.norm, dim, spec.norm_eps, spec.has_bias("norm")) if spec.embedding_norm else None
        self.dropout = Dropout(spec.dropout)
        self.transformer = Transformer(dim, spec) if spec.layers else None

    @property
    def is_causal(self) -> bool:
        return self.causal or self.transformer is None

    @property
    def table(self) -> Tensor:
        return self.embedding.table.weight

    def _segment(self, ids: Int[Tensor, "batch token"]) -> Int[Tensor, "batch token"]:
        """How many segments have ended before each token, at most the last one there is a vector for."""
        assert self.segments is not None
        if self.separator is None:
            return torch.zeros_like(ids)
        ends = (ids == self.separator).int()
        return (ends.cumsum(1) - ends).clamp(max=self.segments.num_embeddings - 1)

    def forward(self, parts: Parts) -> Tokens:
        ids = parts["ids"]
        values = self.embedding(ids)
        if self.positions is not None:
            values = self.positions(values, parts.get("positions"))
        if self.segments is not None:
            values = values + self.segments(self._segment(ids))
        if self.norm is not None:
            values = self.norm(values)
        tokens = Tokens(self.dropout(values), ids != 0, positions=parts.get("positions"))
        return tokens if self.transformer is None else self.transformer(tokens, all_count=self.causal)
