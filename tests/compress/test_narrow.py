"""Structured pruning: the smaller network answers as the one whose channels were set to zero."""

import copy
from typing import Any

import pytest
import torch
from networks import IMAGE, TABLE, TEXT, parts_of
from torch import Tensor

from ceiba.compress.narrow import PLANNERS, kept_of, masked, narrowed
from ceiba.encoders import ENCODERS
from ceiba.fields import Layout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, build_model

LAYOUTS: dict[str, Layout] = {"table": TABLE, "text": TEXT, "image": IMAGE}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("image resnet", {"channels": (8, 16, 16), "blocks": 2}),
    ("image resnet", {}),
    ("image cnn", {"channels": (8, 12)}),
    ("image cnn", {"norm": False}),
    ("text cnn", {"channels": 16}),
    ("text rnn", {"width": 16}),
    ("text lstm", {"width": 16, "layers": 2}),
    ("text gru", {"width": 16, "bidirectional": False}),
    ("text transformer", {"heads": 4}),
    ("text transformer", {"heads": 4, "activation": "swiglu", "norm": "rms", "bias": False}),
    ("table mlp", {"width": 32, "layers": 3}),
    ("table mlp", {"width": 32, "norm": "batch"}),
    ("table tabm", {"width": 32, "members": 3, "layers": 3}),
]


def model_of(name: str, knobs: dict[str, Any]) -> tuple[Model, dict[str, Layout]]:
    kind, encoder = name.split(" ")
    layouts = {"in": LAYOUTS[kind]}
    spec = ModelSpec(dim=16, encoders={"in": ENCODERS[kind][encoder](**knobs)}, heads={"y": HEADS["classes"]()})
    model = build_model(spec, layouts, {"y": OutputLayout("classes", 3)}, 3)
    generator = torch.Generator().manual_seed(1)
    for value in model.state_dict().values():  # norms that do something
        if value.is_floating_point():
            value.add_(torch.rand(value.shape, generator=generator) * 0.2)
    return model.eval(), layouts


def answers(model: Model, layouts: dict[str, Layout]) -> Tensor:
    inputs = {f"in.{part}": value for part, value in parts_of(layouts["in"], 6, 7).items()}
    with torch.inference_mode():
        return model.answers(inputs)["y"]


def test_every_planner_is_tried() -> None:
    assert {name for name, _ in CASES} == set(PLANNERS)


@pytest.mark.parametrize(("name", "knobs"), CASES)
def test_the_smaller_network_is_the_masked_one(name: str, knobs: dict[str, Any]) -> None:
    model, layouts = model_of(name, knobs)
    smaller = narrowed(model, layouts, 0.5)
    assert smaller is not None
    assert smaller.num_parameters < model.num_parameters
    zeroed = copy.deepcopy(model)
    zeroed.load_state_dict(masked(model, 0.5))
    torch.testing.assert_close(answers(smaller, layouts), answers(zeroed, layouts), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(answers(smaller, layouts), answers(model, layouts), atol=1e-3)


def test_layers_are_left_out_at_last() -> None:
    model, layouts = model_of("text transformer", {"heads": 4, "layers": 4})
    smaller = narrowed(model, layouts, 0.25)
    assert smaller is not None
    spec = smaller.spec.encoders["in"]
    assert (spec.layers, spec.heads, spec.head_dim, spec.feed_forward * 16) == (2, 1, 4, 16)
    own, other = dict(model.state_dict()), dict(smaller.state_dict())
    last = "encoders.0_in.transformer.blocks.{}.norm_1.weight"
    assert torch.equal(other[last.format(1)], own[last.format(3)])  # the first and the last stay
    assert answers(smaller, layouts).isfinite().all()


def test_the_channels_with_the_longest_weights_stay() -> None:
    model, layouts = model_of("table mlp", {"width": 8})
    at = "encoders.0_in.mlp."
    with torch.no_grad():
        for name in (f"{at}0.0.weight", f"{at}1.0.weight"):
            part = model.state_dict()[name]
            (part if "0.0" in name else part.T)[[1, 2, 5, 6]] *= 0.01
    smaller = narrowed(model, layouts, 0.5)
    assert smaller is not None
    kept = model.state_dict()[f"{at}0.0.weight"][[0, 3, 4, 7]]
    assert torch.equal(smaller.state_dict()[f"{at}0.0.weight"], kept)


def test_a_network_without_channels_and_sizes() -> None:
    spec = ModelSpec(dim=8, encoders={"in": ENCODERS["table"]["linear"]()}, heads={"y": HEADS["classes"]()})
    model = build_model(spec, {"in": TABLE}, {"y": OutputLayout("classes", 3)})
    assert narrowed(model, {"in": TABLE}, 0.5) is None
    assert [kept_of(size, 0.5) for size in (64, 30, 6, 2)] == [32, 16, 4, 2]
