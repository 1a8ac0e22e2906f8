"""The decoder of a Transformer: blocks that also look at the tokens of a source."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ceiba.layers.attention import LayerMemory, SelfAttention, Sight, attend
from ceiba.layers.positions import RotaryPositionsSpec, places_of
from ceiba.layers.regularization import Dropout
from ceiba.layers.tokens import Tokens
from ceiba.layers.transformer import TransformerOptions, feed_forward, last_norm


class Source(NamedTuple):
    """The tokens of a source as one cross-attention sees them."""

    key: Float[Tensor, "batch head source dim"]
    value: Float[Tensor, "batch head source dim"]
    mask: Bool[Tensor, "batch 1 1 source"]


Branch = Callable[[Tensor], Tensor]


class CrossAttention(nn.Module):
    """Attention whose queries come from one row of tokens, keys and values from another.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3; the question itself: Bahdanau et al. 2014,
    arXiv:1409.0473.
    """

    def __init__(self, dim: int, options: TransformerOptions):
        super().__init__()
        self.heads, self.head_dim = options.heads, options.head_dim or dim // options.heads
        width, bias = self.heads * self.head_dim, options.has_bias("query_key_value")
        self.query, self.key_value = nn.Linear(dim, width, bias), nn.Linear(dim, 2 * width, bias)
        self.out = nn.Linear(width, dim, options.has_bias("out"))
        self.dropout = options.attention_dropout

    def _heads(self, values: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch head token dim"]:
        return values.view(*values.shape[:2], -1, self.head_dim).transpose(1, 2)

    def see(self, tokens: Tokens) -> Source:
        """Keys and values of a source, which stay the same while a text is written."""
        key, value = self._heads(self.key_value(tokens.values)).chunk(2, 1)
        return Source(key, value, tokens.mask[:, None, None, :])

    def forward(self, values: Float[Tensor, "batch token dim"], source: Source) -> Float[Tensor, "batch token dim"]:
        dropout = self.dropout if self.training else 0.0
        mixed = attend(self._heads(self.query(values)), source.key, source.value, source.mask, dropout=dropout)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class DecoderBlock(nn.Module):
    """x + attention(norm(x)), then x + cross_attention(norm(x), source), then x + feed_forward(norm(x)); norm last:
    each sum is normed instead of each branch's input.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; norm first: Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(self, dim: int, options: TransformerOptions):
        super().__init__()
        self.norm_first = options.norm_first
        self.norms = nn.ModuleList(last_norm(dim, options) for _ in range(3))
        self.attention = SelfAttention(
            dim, options.heads, options.kv_heads, options.head_dim, bias=options.has_bias("query_key_value"),
            out_bias=options.has_bias("out"), qk_norm=options.norm_eps if options.qk_norm else None,
            dropout=options.attention_dropout,
        )  # fmt: skip
        self.cross = CrossAttention(dim, options)
        self.feed_forward = feed_forward(dim, options)
        self.dropout = Dropout(options.dropout)

    def forward(
        self, values: Float[Tensor, "batch token dim"], source: Source, sight: Sight, memory: LayerMemory | None = None
    ) -> Float[Tensor, "batch token dim"]:
        branches: tuple[Branch, ...] = (
            lambda one: self.attention(one, sight, memory),
            lambda one: self.cross(one, source),
            self.feed_forward,
        )
        for norm, branch in zip(self.norms, branches, strict=True):
            if self.norm_first:
                values = values + self.dropout(branch(norm(values)))
            else:
                values = norm(values + self.dropout(branch(values)))
        return values


class Decoder(nn.Module):
    """Blocks one after another and, if they norm first, a last norm. No token sees those after it.

    Raises: RecipeError if the heads do not fit the width.
    """

    def __init__(self, dim: int, options: TransformerOptions):
        super().__init__()
        self.options = options
        self.blocks = nn.ModuleList(DecoderBlock(dim, options) for _ in range(options.layers))
        self.norm = last_norm(dim, options) if options.norm_first else nn.Identity()
        self.head_dim = options.head_dim or dim // options.heads

    def _cross(self) -> Iterator[CrossAttention]:
        for block in self.blocks:
            assert isinstance(block, DecoderBlock)
            yield block.cross

    def begin(self, tokens: Tokens) -> "Written":
        """What is kept while texts are written from a source."""
        return Written([cross.see(tokens) for cross in self._cross()], tokens.values.device)

    def forward(
        self, values: Float[Tensor, "batch token dim"], source: "Tokens | Written"
    ) -> Float[Tensor, "batch token dim"]:
        """All tokens of each text beside its source; or one new token of each, beside what was written before."""
        memory = source if isinstance(source, Written) else None
        seen = source.sources if isinstance(source, Written) else [cross.see(source) for cross in self._cross()]
        rotation, options = None, self.options
        if isinstance(options.positions, RotaryPositionsSpec):
            places = places_of(values) if memory is None else memory.places
            rotation = options.positions.rotation(places, self.head_dim, values.dtype)
        sight = Sight(is_causal=memory is None, rotation=rotation)
        for place, block in enumerate(self.blocks):
            values = block(values, seen[place], sight, None if memory is None else memory.layers[place])
        if memory is not None:
            memory.length += 1
        normed: Tensor = self.norm(values)
        return normed


class Grown:
    """The keys and values of what one self-attention has written."""

    key: Tensor | None = None
    value: Tensor | None = None

    def attend(
        self,
        query: Float[Tensor, "batch head new dim"],
        key: Float[Tensor, "batch key_head new dim"],
        value: Float[Tensor, "batch key_head new dim"],
    ) -> Float[Tensor, "batch head new dim"]:
        """Add one token a row, which sees all before it."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat([self.key, key], 2), torch.cat([self.value, value], 2)
        self.key, self.value = key, value
        return attend(query, key, value)


class Written:
    """What writing keeps from token to token: each block's view of the sources, and of what is written."""

    def __init__(self, sources: list[Source], device: torch.device):
        self.sources, self.length, self.device = sources, 0, device
        self.layers = [Grown() for _ in sources]

    @property
    def places(self) -> Int[Tensor, "1 1"]:
        """The place of the next token, in every row the same."""
        return torch.tensor([[self.length]], device=self.device)

    def keep(self, rows: Int[Tensor, "row"]) -> None:
        """Go on with these rows alone, in this order; a row may be kept several times."""
        self.sources = [Source(*(part.index_select(0, rows) for part in source)) for source in self.sources]
        for layer in self.layers:
            if layer.key is not None and layer.value is not None:
                layer.key, layer.value = layer.key.index_select(0, rows), layer.value.index_select(0, rows)
