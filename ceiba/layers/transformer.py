"""The Transformer, with the choices that BERT, GPT-2, Llama, Mistral and Qwen differ in."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec, one_of
from ceiba.layers.attention import ALL, LayerMemory, Memory, SelfAttention, Sight, visible
from ceiba.layers.norm import TokenNorm, token_norm
from ceiba.layers.positions import POSITIONS, NoPositionsSpec, RotaryPositionsSpec, places_of
from ceiba.layers.regularization import Dropout, StochasticDepth
from ceiba.layers.tokens import Tokens

PLAIN: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}
GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "swiglu": F.silu,
    "geglu": F.gelu,
    "geglu_tanh": partial(F.gelu, approximate="tanh"),
}
FeedForwardActivation = Literal["gelu", "gelu_tanh", "relu", "silu", "swiglu", "geglu", "geglu_tanh"]
BiasPart = Literal["query_key_value", "out", "feed_forward", "norm"]
NORMAL_STD = 0.02


class TransformerOptions(Spec):
    """What Transformers differ in; with a width they determine every parameter's shape."""

    layers: int = Field(2, ge=0)
    """Transformer blocks."""
    heads: int = Field(4, ge=1)
    """Attention heads; must divide the model's dim unless head_dim is given."""
    kv_heads: int | None = Field(None, ge=1)
    """Heads of keys and values, each shared by heads / kv_heads heads of queries; null: as many as heads."""
    head_dim: int | None = Field(None, ge=1)
    """Width of a head; null: dim / heads."""
    feed_forward: float = Field(4.0, gt=0)
    """Width of the inner dense layer, in multiples of dim."""
    activation: FeedForwardActivation = "gelu"
    """Of the inner dense layer; swiglu and geglu gate a second layer of that width."""
    norm: TokenNorm = "layer"
    """Over the features of each token: layer, or rms, which neither centers nor shifts."""
    norm_eps: float = Field(1e-5, gt=0)
    """ε under the root of the norm."""
    norm_first: bool = True
    """Whether a branch's input is normed (and the last sum once more), or the sum after each branch."""
    qk_norm: bool = False
    """Whether each query and key is normed too."""
    positions: one_of(POSITIONS) = NoPositionsSpec()  # type: ignore[valid-type]
    """How tokens know their place: none, learned, sinusoidal or rotary."""
    bias: bool | tuple[BiasPart, ...] = True
    """Whether linear layers and norms add a bias, or the parts that do."""
    causal: bool = False
    """Whether a token sees only itself and those before it."""
    window: int | None = Field(None, ge=1)
    """Tokens that a token sees on a side, itself included; null: all."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped in each block while training."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of attention weights dropped while training."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Share of rows for which the last block's branches are dropped while training."""
    init: Literal["torch", "normal"] = "torch"
    """How weights start: as torch's (uniform in ±1/√inputs), or normal with deviation 0.02, biases zero and the last
    layer of each branch smaller by √(2 · layers). Source: Radford et al. 2019 (GPT-2), section 2.3."""

    def has_bias(self, part: BiasPart) -> bool:
        """Whether a part adds a bias."""
        return self.bias if isinstance(self.bias, bool) else part in self.bias

    @property
    def std(self) -> float | None:
        """Deviation of tables at the start; None: each by its own rule."""
        return NORMAL_STD if self.init == "normal" else None


class Gate(nn.Module):
    """f(x) · y for the two halves of the features.

    Source: Shazeer 2020, arXiv:2002.05202, equations 5 and 6.
    """

    def __init__(self, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.activation = activation

    def forward(self, values: Float[Tensor, "... two_dim"]) -> Float[Tensor, "... dim"]:
        gate, value = values.chunk(2, -1)
        return self.activation(gate) * value


def feed_forward(dim: int, options: TransformerOptions) -> nn.Sequential:
    """W₂ f(W₁ x), with f a plain activation or a gate, for which W₁ holds both halves."""
    inner = max(1, round(options.feed_forward * dim))
    gate, bias = GATES.get(options.activation), options.has_bias("feed_forward")
    first = nn.Linear(dim, inner if gate is None else 2 * inner, bias)
    middle = PLAIN[options.activation]() if gate is None else Gate(gate)
    return nn.Sequential(first, middle, Dropout(options.dropout), nn.Linear(inner, dim, bias))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)): norm first, so that the sum itself is never normed.
    Norm last: norm(x + attention(x)), then norm(x + feed_forward(x)).

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; norm first: Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(self, dim: int, options: TransformerOptions, drop_path: float = 0.0):
        super().__init__()
        self.norm_first = options.norm_first
        self.norm_1, self.norm_2 = last_norm(dim, options), last_norm(dim, options)
        self.attention = SelfAttention(
            dim,
            options.heads,
            options.kv_heads,
            options.head_dim,
            bias=options.has_bias("query_key_value"),
            out_bias=options.has_bias("out"),
            qk_norm=options.norm_eps if options.qk_norm else None,
            dropout=options.attention_dropout,
        )
        self.feed_forward = feed_forward(dim, options)
        self.dropout, self.drop_path = Dropout(options.dropout), StochasticDepth(drop_path)

    def forward(
        self, values: Float[Tensor, "batch token dim"], sight: Sight = ALL, memory: LayerMemory | None = None
    ) -> Float[Tensor, "batch token dim"]:
        if self.norm_first:
            values = values + self._dropped(self.attention(self.norm_1(values), sight, memory))
            return values + self._dropped(self.feed_forward(self.norm_2(values)))
        values = self.norm_1(values + self._dropped(self.attention(values, sight, memory)))
        normed: Tensor = self.norm_2(values + self._dropped(self.feed_forward(values)))
        return normed

    def _dropped(self, branch: Float[Tensor, "batch token dim"]) -> Float[Tensor, "batch token dim"]:
        if not self.training:  # two calls fewer in each branch of a token that is written
            return branch
        kept: Tensor = self.drop_path(self.dropout(branch))
        return kept


def last_norm(dim: int, options: TransformerOptions) -> nn.Module:
    """A norm as the options have it."""
    return token_norm(options.norm, dim, options.norm_eps, options.has_bias("norm"))


class Transformer(nn.Module):
    """Blocks one after another and, if they norm first, a last norm; the share of dropped paths grows evenly with
    depth.

    Raises: RecipeError if the heads do not fit the width, or a rotated head's width is odd.
    """

    def __init__(self, dim: int, options: TransformerOptions):
        super().__init__()
        self.options = options
        shares = [options.drop_path * (place + 1) / options.layers for place in range(options.layers)]
        self.blocks = nn.ModuleList(TransformerBlock(dim, options, share) for share in shares)
        self.norm = last_norm(dim, options) if options.norm_first else nn.Identity()
        self.head_dim = options.head_dim or dim // options.heads
        if isinstance(options.positions, RotaryPositionsSpec) and self.head_dim % 2:
            raise RecipeError("positions: rotary needs heads of an even width", self.head_dim, "Use other heads")
        if options.init == "normal":
            start_normal(self, options.layers)

    def forward(self, tokens: Tokens, all_count: bool = False, memory: Memory | None = None) -> Tokens:
        """The tokens mixed.

        `all_count` says that no token is masked, or in a causal net that only those at the end are, which none of the
        others sees: either spares the work of masking. With a memory the tokens are new ones of rows whose earlier
        tokens it knows.
        """
        values, sight = tokens.values, self.sight(tokens, all_count, memory)
        for place, block in enumerate(self.blocks):
            values = block(values, sight) if memory is None else block(values, sight, memory.layers[place])
        return tokens._replace(values=self.norm(values))

    def sight(self, tokens: Tokens, all_count: bool = False, memory: Memory | None = None) -> Sight:
        """What the attentions of all blocks share."""
        rotation, options = None, self.options
        if isinstance(options.positions, RotaryPositionsSpec):
            own = places_of(tokens.values) if tokens.positions is None else tokens.positions
            places = own if memory is None else memory.positions
            rotation = options.positions.rotation(places, self.head_dim, tokens.values.dtype)
        if memory is not None:
            return Sight(rotation=rotation)
        window = options.window if options.window is not None and tokens.mask.shape[1] > options.window else None
        if all_count and window is None and tokens.positions is None:
            return Sight(is_causal=options.causal, rotation=rotation)
        return Sight(visible(tokens.mask, options.causal, window, tokens.positions), rotation=rotation)


def start_normal(net: Transformer, layers: int) -> None:
    """Weights normal with deviation 0.02, smaller by √(2 · layers) in the last layer of each branch; biases zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=NORMAL_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for block in net.blocks:
        assert isinstance(block, TransformerBlock)
        for last in (block.attention.out, block.feed_forward[3]):
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=NORMAL_STD / (2 * layers) ** 0.5)
