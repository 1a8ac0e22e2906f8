"""The choices of a Transformer: each against its equation or torch's own, and decoding with a memory."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.layers import SelfAttention, Tokens, Transformer, TransformerBlock, TransformerOptions, attend, visible
from ceiba.layers.positions import (
    LinearScalingSpec,
    Llama3ScalingSpec,
    RotaryPositionsSpec,
    SinusoidalPositions,
    rotate,
)
from ceiba.layers.transformer import GATES, PLAIN, feed_forward

close = torch.testing.assert_close
CHOICES: dict[str, dict[str, Any]] = {
    "bert": {"norm_first": False, "attention_dropout": 0.1},
    "gpt2": {"causal": True, "activation": "gelu_tanh", "init": "normal"},
    "llama": {
        "causal": True, "heads": 4, "kv_heads": 2, "norm": "rms", "activation": "swiglu", "bias": False,
        "positions": "rotary",
    },
    "qwen 2": {"causal": True, "kv_heads": 1, "norm": "rms", "bias": ["query_key_value"], "positions": "rotary"},
    "qwen 3": {
        "causal": True, "head_dim": 6, "qk_norm": True, "norm": "rms", "positions": {"type": "rotary", "theta": 9},
    },
    "mistral": {"causal": True, "window": 3, "positions": {"type": "rotary", "scaling": "llama3"}},
    "local": {"window": 2, "activation": "geglu"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def full(values: Tensor) -> Tokens:
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool))


def net(choice: str, dim: int = 16) -> Transformer:
    """With norms and biases away from where they start."""
    options = TransformerOptions.model_validate({"heads": 4, "layers": 2, "dropout": 0, **CHOICES[choice]})
    built = Transformer(dim, options).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return built


def test_rotation_is_its_equation() -> None:
    options, places = RotaryPositionsSpec(theta=100), torch.tensor([[0, 1, 5]])
    values = torch.randn(2, 3, 3, 4)
    turned = rotate(values, options.rotation(places, 4, torch.float32))
    for token, place in enumerate([0, 1, 5]):
        for pair in range(2):
            angle = place * 100 ** (-2 * pair / 4)
            x, y = values[..., token, pair], values[..., token, pair + 2]
            close(turned[..., token, pair], x * math.cos(angle) - y * math.sin(angle))
            close(turned[..., token, pair + 2], y * math.cos(angle) + x * math.sin(angle))


def test_rotated_scores_depend_on_distance_alone() -> None:
    query, key = torch.randn(2, 1, 1, 1, 8)
    options = RotaryPositionsSpec()

    def score(at: int, to: int) -> Tensor:
        left, right = (options.rotation(torch.tensor([[place]]), 8, torch.float32) for place in (at, to))
        return (rotate(query, left) * rotate(key, right)).sum()

    close(score(7, 3), score(104, 100))
    assert not torch.isclose(score(7, 3), score(7, 4))


def test_scaling_slows_slow_turns_alone() -> None:
    rates = torch.tensor([1.0, 2 * math.pi * 2 / 8192, 1e-5])  # many turns, two, less than one within the places
    scaled = Llama3ScalingSpec(factor=8, low=1, high=3, places=8192).rates(rates)
    close(scaled, torch.tensor([1.0, float(rates[1]) * (1 + 1 / 8) / 2, 1e-5 / 8]))
    close(LinearScalingSpec(factor=4).rates(rates), rates / 4)


def test_sinusoids_are_their_equation() -> None:
    found = SinusoidalPositions()(torch.zeros(1, 4, 6))[0]
    for place in range(4):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            close(found[place, 2 * pair : 2 * pair + 2], torch.tensor([math.sin(angle), math.cos(angle)]))


def test_few_key_heads_serve_their_neighbors() -> None:
    query, key, value = torch.randn(2, 4, 5, 3), torch.randn(2, 2, 5, 3), torch.randn(2, 2, 5, 3)
    found = attend(query, key, value)
    for head in range(4):
        close(found[:, head], attend(query[:, [head]], key[:, [head // 2]], value[:, [head // 2]])[:, 0])


def test_causal_without_a_mask_is_causal_with_one() -> None:
    query, key, value = torch.randn(3, 2, 4, 5, 3)
    close(attend(query, key, value, is_causal=True), attend(query, key, value, visible(torch.ones(2, 5) > 0, True)))


@pytest.mark.parametrize("kind", ["all", "causal", "masked", "shared"])
def test_the_products_of_a_short_text_in_bf16_are_the_kernels_in_float32(kind: str) -> None:
    key_heads = 2 if kind == "shared" else 4
    exact = [torch.randn(3, heads, 9, 8, requires_grad=True) for heads in (4, key_heads, key_heads)]
    short = [one.detach().bfloat16().requires_grad_() for one in exact]
    mask = visible(torch.arange(9) < torch.tensor([[9], [4], [1]]), False) if kind == "masked" else None
    towards = torch.randn(3, 4, 9, 8)
    expected, found = (attend(*parts, mask, kind == "causal") for parts in (exact, short))
    assert found.dtype == torch.bfloat16
    assert "Unsafe" in type(found.grad_fn).__name__  # a product's, not the kernel's
    close(found.float(), expected, atol=0.03, rtol=0.03)
    (expected * towards).sum().backward()
    (found.float() * towards).sum().backward()
    for one, other in zip(exact, short, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert (one.grad - other.grad.float()).norm() < 0.02 * one.grad.norm()


def test_a_window_ends_sight() -> None:
    mask = torch.tensor([[True, True, True, False]])
    assert visible(mask, True, 2)[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]]
    assert visible(mask, False, 2)[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize("activation", [*PLAIN, *GATES])
def test_feed_forward_is_its_equation(activation: str) -> None:
    options = TransformerOptions(activation=activation, feed_forward=1.5, dropout=0)
    layers = feed_forward(4, options)
    plain = {"swiglu": F.silu, "silu": F.silu, "relu": F.relu, "gelu": F.gelu, "geglu": F.gelu}
    f = plain.get(activation, lambda x: 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))))
    values = torch.randn(3, 4)
    hidden = values @ layers[0].weight.T + layers[0].bias
    hidden = f(hidden[:, :6]) * hidden[:, 6:] if activation in GATES else f(hidden)
    close(layers(values), hidden @ layers[3].weight.T + layers[3].bias)
    assert layers[3].weight.shape == (4, 6)


def test_norm_last_is_torchs() -> None:
    own = TransformerBlock(8, TransformerOptions(heads=2, feed_forward=2, dropout=0, norm_first=False, norm_eps=1e-3))
    other = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=False, layer_norm_eps=1e-3)
    names = {
        "self_attn.in_proj_": "attention.query_key_value.", "self_attn.out_proj.": "attention.out.",
        "linear1.": "feed_forward.0.", "linear2.": "feed_forward.3.", "norm1.": "norm_1.", "norm2.": "norm_2.",
    }  # fmt: skip
    state = own.state_dict()
    other.load_state_dict({a + end: state[b + end] for a, b in names.items() for end in ("weight", "bias")})
    values = torch.randn(2, 5, 8)
    close(own(values), other(values))


def test_queries_and_keys_are_normed_head_by_head() -> None:
    attention = SelfAttention(8, 2, qk_norm=1e-6)
    values = torch.randn(1, 4, 8)
    query, key, value = attention.query_key_value(values).view(1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4)
    query, key = (part / (part.square().mean(-1, keepdim=True) + 1e-6).sqrt() for part in (query, key))
    close(attention(values), attention.out(attend(query, key, value).transpose(1, 2).flatten(2)))


def test_biases_are_where_they_are_asked_for() -> None:
    block = TransformerBlock(8, TransformerOptions(bias=("query_key_value", "norm")))
    assert {name for name, _ in block.named_parameters() if name.endswith("bias")} == {
        "attention.query_key_value.bias", "norm_1.bias", "norm_2.bias",
    }  # fmt: skip


def test_the_normal_start() -> None:
    built = Transformer(64, TransformerOptions(layers=8, init="normal"))
    block = built.blocks[0]
    assert block.feed_forward[0].weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert block.feed_forward[3].weight.std().item() == pytest.approx(0.02 / 4, rel=0.03)
    assert block.attention.out.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert not block.feed_forward[0].bias.any()


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_learns_in_every_parameter(choice: str) -> None:
    built = net(choice).train()
    values = built(full(torch.randn(4, 6, 16)))[0]
    (values * torch.randn_like(values)).sum().backward()
    assert [name for name, one in built.named_parameters() if one.grad is None or not one.grad.any()] == []


@pytest.mark.parametrize("choice", CHOICES)
def test_padding_at_the_end_has_no_influence(choice: str) -> None:
    built, values = net(choice), torch.randn(2, 7, 16)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]]) > 0
    together = built(Tokens(values, mask), all_count=built.options.causal)
    close(together.values[1, :4], built(full(values[1:, :4])).values[0])
    close(together.values[0], built(full(values[:1])).values[0])


class Kept:
    """The plainest memory: rows of unequal length, each with what it has met, attended to one by one."""

    def __init__(self, rows: int, layers: int, window: int | None):
        self.positions = torch.zeros(rows, 0, dtype=torch.int64)
        self.layers = [KeptLayer(self, rows, window) for _ in range(layers)]


class KeptLayer:
    def __init__(self, memory: Kept, rows: int, window: int | None):
        self.memory, self.window, self.rows = memory, window, [([], []) for _ in range(rows)]

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.zeros_like(query)
        for row, (keys, values) in enumerate(self.rows):
            for new, place in enumerate(self.memory.positions[row].tolist()):
                del keys[place:], values[place:]  # what stood there was padding
                keys.append(key[row, :, new])
                values.append(value[row, :, new])
                first = 0 if self.window is None else max(0, place + 1 - self.window)
                seen = (torch.stack(one[first:], 1).unsqueeze(0) for one in (keys, values))
                out[row, :, new] = attend(query[row : row + 1, :, new : new + 1], *seen)[0, :, 0]
        return out


@pytest.mark.parametrize("choice", [name for name, one in CHOICES.items() if one.get("causal")])
def test_decoding_with_a_memory_is_one_pass(choice: str) -> None:
    """Prompts of unequal length in one pass, then token by token, each row at its own place."""
    built, values, lengths = net(choice), torch.randn(2, 8, 16), torch.tensor([3, 5])
    expected = built(full(values), all_count=True).values
    memory = Kept(2, len(built.blocks), built.options.window)
    memory.positions = torch.arange(5).expand(2, -1)
    found = built(full(values[:, :5]), memory=memory).values
    close(found[0, :3], expected[0, :3])
    close(found[1], expected[1, :5])
    for step in range(3):
        memory.positions = (lengths + step).unsqueeze(1)
        new = values.gather(1, memory.positions.unsqueeze(-1).expand(-1, -1, 16))
        found = built(full(new), memory=memory).values
        close(found[:, 0], expected[torch.arange(2), memory.positions[:, 0]])


def test_options_that_do_not_fit_are_told() -> None:
    with pytest.raises(RecipeError, match=r"kv_heads must divide heads \(4\)\. Got 3\. Use one of 1, 2"):
        Transformer(16, TransformerOptions(heads=4, kv_heads=3))
    with pytest.raises(RecipeError, match="rotary needs heads of an even width"):
        Transformer(15, TransformerOptions(heads=5, positions="rotary"))
