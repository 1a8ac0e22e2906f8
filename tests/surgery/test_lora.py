"""LoRA: its equation, what it leaves alone, merging, and edits that are done again."""

import copy

import pytest
import torch
from torch import nn

from ceiba.base.errors import BundleError, RecipeError
from ceiba.layers import Tokens, Transformer, TransformerOptions
from ceiba.surgery import LoraLinear, LoraOptions, add_lora, apply_edits, lora_layers, merge_lora

close = torch.testing.assert_close
ALL = ("query", "key", "value", "out", "gate", "up", "down")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def net(**knobs: object) -> Transformer:
    options = {"heads": 4, "kv_heads": 2, "activation": "swiglu", "dropout": 0, **knobs}
    return Transformer(16, TransformerOptions.model_validate(options)).eval()


def tokens() -> Tokens:
    return Tokens(torch.randn(2, 5, 16), torch.ones(2, 5, dtype=torch.bool))


def learnt(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for _, layer in lora_layers(module):
            for matrix in layer.up.values():
                matrix.normal_(std=0.2)
    return module


def test_its_equation() -> None:
    options = LoraOptions(rank=2, alpha=3)
    layer = LoraLinear(nn.Linear(4, 6), 4, 6, {"query": (0, 2), "value": (3, 6)}, options)
    learnt(layer)
    values = torch.randn(3, 4)
    expected = layer.base(values)
    expected[:, :2] += 1.5 * values @ (layer.up["query"] @ layer.down["query"]).T
    expected[:, 3:] += 1.5 * values @ (layer.up["value"] @ layer.down["value"]).T
    close(layer(values), expected)


@pytest.mark.parametrize("activation", ["swiglu", "gelu"])
@pytest.mark.parametrize("targets", [ALL, ("query_key_value",), ("value",)])
def test_nothing_changes_at_first_and_merging_changes_nothing(targets: tuple[str, ...], activation: str) -> None:
    plain, inputs = net(activation=activation), tokens()
    edited = add_lora(copy.deepcopy(plain), LoraOptions.model_validate({"rank": 2, "targets": targets}))
    close(edited(inputs).values, plain(inputs).values)
    learnt(edited)
    answers = edited(inputs).values
    assert not torch.allclose(answers, plain(inputs).values, atol=1e-3)
    merged = merge_lora(edited)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    close(merged(inputs).values, answers, rtol=1e-4, atol=1e-5)


def test_only_the_rows_that_are_asked_for_change() -> None:
    edited = learnt(add_lora(net(), LoraOptions(targets=("key", "up"))))
    block = edited.blocks[0]
    changed = block.attention.query_key_value.delta().any(1)
    assert changed.tolist() == [False] * 16 + [True] * 8 + [False] * 8  # 4 heads of queries, 2 of keys, 2 of values
    assert block.feed_forward[0].delta().any(1).tolist() == [False] * 64 + [True] * 64
    assert isinstance(block.attention.out, nn.Linear)


def test_gradients_reach_the_thin_matrices() -> None:
    edited = learnt(add_lora(net(), LoraOptions(targets=ALL, rank=2)))
    edited(tokens()).values.square().sum().backward()
    for _, layer in lora_layers(edited):
        for matrix in (*layer.up.values(), *layer.down.values()):
            assert matrix.grad is not None
            assert matrix.grad.any()


def test_a_bundles_edits_are_done_again() -> None:
    options = LoraOptions(rank=3, targets=("query", "down"))
    edited = learnt(add_lora(net(), options))
    again = apply_edits(net(), [options.model_dump(mode="json")])
    again.load_state_dict(edited.state_dict())
    inputs = tokens()
    close(again(inputs).values, edited(inputs).values)
    with pytest.raises(BundleError, match="must be known"):
        apply_edits(net(), [{"type": "sorcery"}])


def test_what_cannot_be_done_is_told() -> None:
    with pytest.raises(RecipeError, match="needs Transformer blocks"):
        add_lora(nn.Linear(2, 2), LoraOptions())
    with pytest.raises(RecipeError, match="needs Transformer blocks"):
        add_lora(net(activation="gelu"), LoraOptions(targets=("gate",)))
    layer = LoraLinear(nn.Identity(), 4, 4, {"out": (0, 4)}, LoraOptions())
    with pytest.raises(RecipeError, match="plain linear layers only"):
        merge_lora(nn.Sequential(layer))
