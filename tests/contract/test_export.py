"""Whole models through `torch.onnx.export` and onnxruntime: other batch sizes, other lengths, batch one, padding."""

from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest
import torch
from networks import IMAGE, NGRAMS, TABLE, TEXT, parts_of
from torch import Tensor, nn
from torch.export import Dim

from ceiba.encoders import ENCODERS
from ceiba.fields import Layout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, build_model

LAYOUTS: dict[str, Layout] = {"table": TABLE, "review": TEXT, "grams": NGRAMS, "photo": IMAGE}
OUTPUTS = {"y": OutputLayout("classes", 3), "z": OutputLayout("number")}


@dataclass
class Case:
    """One model that stands for others."""

    table: str | None = None
    review: str | None = None
    grams: str | None = None
    photo: str | None = None
    trunk: str | dict[str, object] = "none"


CASES = {
    "members": Case(table="tabm", review="cnn", trunk="mlp"),
    "lstm": Case(review="lstm"),
    "gru and residual": Case(review="gru", photo="resnet"),
    "plain recurrent": Case(review="rnn"),
    "attention everywhere": Case(table="tokens", review="transformer", photo="vit", trunk="transformer"),
    "causal, rotary, grouped heads, a window": Case(
        review="transformer",
        trunk={
            "type": "transformer",
            "causal": True,
            "positions": "rotary",
            "kv_heads": 2,
            "window": 4,
            "norm": "rms",
            "activation": "swiglu",
            "qk_norm": True,
        },
    ),
    "causal": Case(review="transformer", trunk={"type": "transformer", "causal": True, "positions": "sinusoidal"}),
    "bag": Case(grams="bag", table="mlp", photo="cnn", review="mean"),
}


class Answering(nn.Module):
    """What is exported: forward and combine."""

    def __init__(self, model: Model):
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model.answers(inputs)


def model_of(case: Case) -> Model:
    groups = {name: getattr(case, name) for name in LAYOUTS if getattr(case, name)}
    kinds = {"table": "table", "review": "text", "grams": "text", "photo": "image"}
    knobs = {"tabm": {"numbers": "piecewise"}, "mlp": {"numbers": "periodic"}, "lstm": {"layers": 2}}
    encoders = {name: ENCODERS[kinds[name]][kind](**knobs.get(kind, {})) for name, kind in groups.items()}
    heads = {"y": HEADS["classes"](), "z": HEADS["regression"]()}
    spec = ModelSpec(dim=16, encoders=encoders, trunk=case.trunk, heads=heads)
    model = build_model(spec, {name: LAYOUTS[name] for name in groups}, OUTPUTS, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    return model.eval()


def inputs_of(model: Model, rows: int, tokens: int, seed: int) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": value
        for name in model.groups
        for part, value in parts_of(LAYOUTS[name], rows, tokens, seed).items()
    }


def forget_dispatch() -> None:
    """After one export of a recurrent op, torch 2.13 dispatches it to a form that freezes time in the next export."""
    for operator in (torch.ops.aten.gru.input, torch.ops.aten.lstm.input):
        operator._dispatch_cache.clear()


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("name", CASES)
def test_the_exported_model_answers_alike_at_other_sizes(name: str) -> None:
    model = Answering(model_of(CASES[name]))
    inputs = inputs_of(model.model, 3, 5, 0)
    ragged = {"ids", "weights"}
    shapes = {
        key: {0: Dim.DYNAMIC, 1: Dim.DYNAMIC} if key.split(".")[1] in ragged else {0: Dim.DYNAMIC} for key in inputs
    }
    names = [key.replace(".", "_") for key in inputs]
    forget_dispatch()
    program = torch.onnx.export(
        model,
        kwargs={"inputs": inputs},
        dynamo=True,
        dynamic_shapes={"inputs": shapes},
        input_names=names,
        verbose=False,
    )
    proto = program.model_proto
    del proto.graph.value_info[:]  # of recurrent ops it holds the example's length
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    for seed, (rows, tokens) in enumerate([(3, 5), (1, 1), (1, 9), (8, 12), (4, 2)]):
        inputs = inputs_of(model.model, rows, tokens, seed)
        with torch.inference_mode():
            expected = model(inputs)
        found = session.run(None, {key: value.numpy() for key, value in zip(names, inputs.values(), strict=True)})
        for logits, answer in zip(expected.values(), found, strict=True):
            np.testing.assert_allclose(answer, logits.numpy(), rtol=1e-4, atol=1e-5)
    assert not {node.op_type for node in proto.graph.node} & {"Loop", "Scan"}
