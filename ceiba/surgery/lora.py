"""LoRA: a linear layer stays as it is, and a product of two thin matrices is learnt beside it."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.layers import Dropout, SelfAttention, TransformerBlock

Target = Literal["query", "key", "value", "query_key_value", "out", "gate", "up", "down"]
Parts = dict[str, tuple[int, int]]


class LoraOptions(Spec):
    """Which layers of every Transformer block get a pair of thin matrices, and how thin."""

    type: Literal["lora"] = "lora"
    rank: int = Field(8, ge=1)
    """Inner width of the two matrices."""
    alpha: float = Field(16.0, gt=0)
    """Their product counts alpha / rank times."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of their inputs dropped while training."""
    targets: tuple[Target, ...] = Field(("query", "value"), min_length=1)
    """Of attention: query, key, value (or query_key_value as one), out; of the feed-forward part: gate, up, down."""


class LoraLinear(nn.Module):
    """y = W x + b, and to some of its rows + (α / r) B A x. A starts as torch's Linear does, B at zero: nothing changes
    at first. `base` may be any module that maps `inputs` features to `outputs`, quantized ones too.

    Source: Hu et al. 2021, arXiv:2106.09685, equation 3.
    """

    def __init__(self, base: nn.Module, inputs: int, outputs: int, parts: Parts, options: LoraOptions):
        super().__init__()
        self.base, self.parts, self.outputs = base, dict(parts), outputs
        self.scale = options.alpha / options.rank
        self.dropout = Dropout(options.dropout)
        rank, bound = options.rank, inputs**-0.5
        self.down = nn.ParameterDict({name: torch.empty(rank, inputs).uniform_(-bound, bound) for name in parts})
        self.up = nn.ParameterDict({name: torch.zeros(stop - start, rank) for name, (start, stop) in parts.items()})

    def forward(self, values: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        out: Tensor = self.base(values)
        kept = self.dropout(values)
        for name, (start, stop) in self.parts.items():
            learnt = self.scale * F.linear(F.linear(kept, self.down[name]), self.up[name])
            out = out + F.pad(learnt, (start, self.outputs - stop))
        return out

    def delta(self) -> Float[Tensor, "outputs inputs"]:
        """What the thin matrices add to W."""
        rows = next(iter(self.down.values()))
        whole: Tensor = rows.new_zeros(self.outputs, rows.shape[1])
        for name, (start, stop) in self.parts.items():
            whole[start:stop] += self.scale * self.up[name] @ self.down[name]
        return whole


def add_lora(module: nn.Module, options: LoraOptions) -> nn.Module:
    """Put the matrices beside the chosen layers of every Transformer block, in place.

    Raises: RecipeError if no layer is one of the targets.
    """
    found = 0
    for path, layer, parts in list(block_layers(module)):
        chosen: Parts = {name: rows for name, rows in parts.items() if name in options.targets}
        if chosen:
            owner, _, key = path.rpartition(".")
            inputs, outputs = size(layer, "in_features"), size(layer, "out_features")
            setattr(module.get_submodule(owner), key, LoraLinear(layer, inputs, outputs, chosen, options))
            found += len(chosen)
    if not found:
        raise RecipeError(
            "LoRA needs Transformer blocks with one of its targets", list(options.targets), "Use adapt: full"
        )
    return module


def block_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module, Parts]]:
    """(path, layer, its rows by what they make) of every linear layer in a Transformer block."""
    for path, block in module.named_modules():
        if isinstance(block, TransformerBlock):
            start, attention, feed = f"{path}." if path else "", block.attention, block.feed_forward
            yield f"{start}attention.query_key_value", attention.query_key_value, attention_parts(attention)
            yield f"{start}attention.out", attention.out, {"out": (0, size(attention.out, "out_features"))}
            yield f"{start}feed_forward.0", feed[0], inner_parts(feed)
            yield f"{start}feed_forward.3", feed[3], {"down": (0, size(feed[3], "out_features"))}


def size(layer: nn.Module, name: str) -> int:
    """How many features go in or come out, also of a layer that is no `nn.Linear` but stands in for one."""
    return int(getattr(layer, name))


def attention_parts(attention: SelfAttention) -> Parts:
    """The rows of the first matrix of an attention, by what they make."""
    queries, keys = attention.num_heads * attention.head_dim, attention.num_kv_heads * attention.head_dim
    all_rows = queries + 2 * keys
    ends = {"query": (0, queries), "key": (queries, queries + keys), "value": (queries + keys, all_rows)}
    return {**ends, "query_key_value": (0, all_rows)}


def inner_parts(feed_forward: nn.Sequential) -> Parts:
    """The rows of the first matrix of a feed-forward part; without a gate all of them are `up`."""
    rows, inner = size(feed_forward[0], "out_features"), size(feed_forward[3], "in_features")
    return {"up": (0, rows)} if rows == inner else {"gate": (0, inner), "up": (inner, rows)}


def lora_layers(module: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Every layer with thin matrices, by its path."""
    return ((name, part) for name, part in list(module.named_modules()) if isinstance(part, LoraLinear))


def merge_lora(module: nn.Module) -> nn.Module:
    """Add what was learnt to the layers themselves, in place: the same answers at the old cost.

    Raises: RecipeError where the layer's own weights are not plain numbers, such as quantized ones.
    """
    for path, layer in lora_layers(module):
        base = layer.base
        if not isinstance(base, nn.Linear):
            raise RecipeError("LoRA merges into plain linear layers only", type(base).__name__, "Keep it apart")
        with torch.no_grad():
            base.weight += layer.delta().to(base.weight.dtype)
        owner, _, key = path.rpartition(".")
        setattr(module.get_submodule(owner), key, base)
    return module


def edit_lora(module: nn.Module, values: Mapping[str, Any]) -> nn.Module:
    """The edit of a bundle."""
    return add_lora(module, LoraOptions.model_validate(values))
