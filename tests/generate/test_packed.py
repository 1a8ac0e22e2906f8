"""Forms of weights: what they compute, what they leave alone, and that a slower one is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ceiba.generate import weights as room
from ceiba.generate.decoder import open_decoder
from ceiba.generate.weights import prepare_weights, untied
from ceiba.model import Model
from ceiba.surgery.packed import BLOCK, FORMS, Int4Linear, Int8Linear, PackedLinear, can_take, pack, quantize_blocks

ERRORS = {"packed": 1e-6, "int8": 0.03, "int4": 0.12}
"""Largest error of a random product, over its deviation."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_form_computes_the_product_row_by_row(form: str, bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias)
    packed = FORMS[form](linear)
    values = torch.randn(2, 5, 64) * torch.tensor([1e-3, 1.0, 1e3, 5.0, 0.0])[None, :, None]
    expected, found = linear(values), packed(values)
    assert found.shape == expected.shape
    for row in range(5):
        error = (found - expected)[:, row].pow(2).mean().sqrt() / max(float(expected[:, row].std()), 1e-6)
        assert error < ERRORS[form], (row, float(error))
    alone = torch.stack([torch.stack([packed(row[None])[0] for row in batch]) for batch in values])
    size = expected.pow(2).mean((0, 2), keepdim=True).sqrt().clamp_min(1e-6)
    assert ((found - alone).abs() / size).max() < 1e-5, "a row is what it is alone, but for the order of sums"


@torch.inference_mode()
def test_four_bits_are_what_the_blocks_say() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(2 * BLOCK, 8)
    linear.weight[0] = 0
    codes, scales = quantize_blocks(linear.weight)
    numbers = torch.stack([codes & 15, codes >> 4], -1).flatten(2).float() - 8
    weight = (numbers * scales[..., None]).flatten(1)
    assert (weight - linear.weight).abs().max() <= scales.abs().max()
    rows = torch.eye(2 * BLOCK)
    torch.testing.assert_close(Int4Linear(linear)(rows), weight.T + linear.bias, rtol=0.02, atol=0.02)


def test_packing_leaves_the_given_net_and_shares_what_it_does_not_replace() -> None:
    norm, inner = nn.LayerNorm(64), nn.Linear(64, 64)
    net = nn.Sequential(norm, nn.Sequential(inner), nn.Linear(64, 30))
    packed = pack(net, "int4")
    assert net[1][0] is inner
    assert packed[0] is norm
    assert isinstance(packed[1][0], Int4Linear)
    assert isinstance(packed[2], Int4Linear)
    assert type(pack(nn.Sequential(nn.Linear(BLOCK + 1, 8)), "int4")[0]) is nn.Linear, "it has no whole blocks"
    assert not can_take("packed", nn.Linear(8, 8).double())
    assert pack(norm, "packed") is norm


@pytest.mark.parametrize(("form", "kind"), [("packed", PackedLinear), ("int8", Int8Linear), ("int4", Int4Linear)])
def test_a_model_in_another_form_answers_like_the_first(
    form: str, kind: type[nn.Module], model: Callable[..., Model]
) -> None:
    net = model()
    packed = pack(untied(net, "text"), form)
    assert isinstance(packed, Model)
    assert sum(isinstance(module, kind) for module in packed.modules()) == 9
    one, other = open_decoder(net, "text", 64, 2), open_decoder(packed, "text", 64, 2)
    prompts = [[1, 2, 3, 4], [5, 6]]
    expected, found = one.admit(prompts)[:, 1:], other.admit(prompts)[:, 1:]
    error = (found - expected).std() / expected.std()
    assert error < {"packed": 1e-5, "int8": 0.1, "int4": 0.9}[form], "unrelated logits would give 1.4"
    torch.testing.assert_close(other.step([[7], [8]])[:, 0].shape, one.step([[7], [8]])[:, 0].shape)


def test_a_tied_head_is_packed_too(model: Callable[..., Model]) -> None:
    net = model(tied=True)
    assert net.head("text").tied
    free = untied(net, "text")
    assert not free.head("text").tied
    assert free.head("text").linear.weight.data_ptr() == net._table("text").data_ptr()
    packed = pack(free, "packed")
    assert isinstance(packed, Model)
    assert isinstance(packed.head("text").linear, PackedLinear)
    one, other = open_decoder(net, "text", 64, 1), open_decoder(packed, "text", 64, 1)
    torch.testing.assert_close(other.admit([[1, 2, 3]]), one.admit([[1, 2, 3]]))


def test_a_form_that_is_slower_is_refused(model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> None:
    net = model()
    seconds = {"plain": 1.0, "packed": 0.5, "int8": 0.4, "int4": 0.6}
    kinds = {PackedLinear: "packed", Int8Linear: "int8", Int4Linear: "int4", nn.Linear: "plain"}

    def measured(one: Model, output: str, rows: int) -> float:
        return seconds[kinds[type(one.head("text").linear)]]

    monkeypatch.setattr(room, "step_seconds", measured)
    assert prepare_weights(net, "text", "auto", 4).form == "packed"
    assert prepare_weights(net, "text", "int8", 4).form == "int8"
    refused = prepare_weights(net, "text", "int4", 4)
    assert refused.form == "packed"
    assert "refused" in refused.notes[0]
    seconds["packed"] = 0.95
    assert prepare_weights(net, "text", "auto", 4).form == "plain", "no gain, no other form"
    assert prepare_weights(net, "text", "plain", 4).model is net
