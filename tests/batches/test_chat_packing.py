"""Chats that share a row see only themselves: a packed batch has the loss, and the gradients, of its chats apart."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ceiba.batches import gather
from ceiba.fields import ChatSpec, Fields
from ceiba.heads import OutputLayout
from ceiba.model import Model, ModelSpec, build_model
from ceiba.prepare import Arrays, fit_fields, prepare_arrays
from ceiba.read import open_frame

ENCODER = {"kind": "text", "type": "transformer", "layers": 0, "positions": "none", "dropout": 0.0}
TRUNK = {"type": "transformer", "causal": True, "layers": 2, "heads": 2, "dropout": 0.0}
NETWORKS: dict[str, tuple[Any, Any]] = {
    "rotary": (ENCODER, {**TRUNK, "positions": "rotary"}),
    "learned": ({**ENCODER, "positions": "learned"}, TRUNK),
    "learned in the trunk": (ENCODER, {**TRUNK, "positions": {"type": "learned", "places": 64}}),
    "sinusoidal, a window": ({**ENCODER, "positions": "sinusoidal"}, {**TRUNK, "window": 9}),
    "blocks in the encoder": ({**ENCODER, "layers": 2, "causal": True, "positions": "rotary"}, "none"),
}
CHATS = [
    json.dumps(
        [{"role": "user", "content": "q" * (place % 5)}, {"role": "assistant", "content": "ab" * (1 + place % 4)}]
    )
    for place in range(24)
]


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[Fields, Arrays]]:
    frame, found = open_frame({"talk": CHATS}), {}
    for pack in (True, False):
        spec = {"tokenizer": {"type": "byte", "special": ["[END]"]}, "max_tokens": 64, "pack": pack}
        fields = fit_fields(frame, {"talk": ChatSpec.model_validate(spec)}, {})
        found[pack] = fields, prepare_arrays(frame, fields, cache=tmp_path_factory.mktemp("cache"))
    return found


def build(network: str, fields: Fields) -> Model:
    encoder, trunk = NETWORKS[network]
    spec = {"dim": 16, "encoders": {"talk": encoder}, "trunk": trunk, "heads": {"talk": {"type": "next_token"}}}
    layouts = fields.layouts()
    return build_model(ModelSpec.model_validate(spec), layouts, {"talk": OutputLayout("text", layouts["talk"].vocab)})


def loss_and_gradients(model: Model, arrays: Arrays, without: str = "") -> tuple[float, torch.Tensor]:
    batch = gather(arrays, np.arange(arrays.num_rows))
    batch = replace(batch, inputs={name: part for name, part in batch.inputs.items() if name != without})
    model.zero_grad()
    loss, _ = model.loss(batch.inputs, batch.targets)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_packed_batch_has_the_loss_of_its_chats_apart(network: str, chats: dict[bool, tuple[Fields, Arrays]]) -> None:
    (fields, packed), (_, apart) = chats[True], chats[False]
    assert packed.num_rows < apart.num_rows == len(CHATS)
    model = build(network, fields)
    loss, slope = loss_and_gradients(model, packed)
    expected, expected_slope = loss_and_gradients(model, apart)
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-3, atol=1e-5)
    mixed, _ = loss_and_gradients(model, packed, without="talk.positions")
    assert mixed != pytest.approx(expected, rel=1e-4), "without positions, chats would see each other"
