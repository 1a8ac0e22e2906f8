"""The gate must refuse: each test plants one fault in an exported model, or in what is kept of it."""

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from networks import TABLE, TEXT
from onnx import numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from ceiba.base.errors import CeibaError
from ceiba.encoders import ENCODERS
from ceiba.export import check_parity, onnx_bytes, probes, random_parts
from ceiba.export.graph import axes_of, quietly, strip
from ceiba.export.probes import random_probes
from ceiba.fields import Layout
from ceiba.heads import HEADS, OutputLayout
from ceiba.layers.attention import MASKED_SCORE
from ceiba.model import Model, ModelSpec, TorchBackend, build_model
from ceiba.predict import MASKED, OnnxBackend, relative_error

Arrays = Mapping[str, np.ndarray[Any, Any]]


def small(kind: str, encoder: str, layout: Layout, **knobs: object) -> tuple[Model, dict[str, Layout]]:
    spec = ModelSpec(dim=8, encoders={"in": ENCODERS[kind][encoder](**knobs)}, heads={"y": HEADS["classes"]()})
    return build_model(spec, {"in": layout}, {"y": OutputLayout("classes", 3)}, 1).eval(), {"in": layout}


@pytest.fixture(scope="module")
def table() -> tuple[Model, dict[str, Layout], bytes]:
    model, layouts = small("table", "mlp", TABLE, width=8)
    return model, layouts, onnx_bytes(model, layouts)


class Frozen(nn.Module):
    """A plain recurrent net, which the exporter unrolls at the length of its example."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.cell, self.out = nn.Embedding(30, 4), nn.RNN(4, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": self.out(self.cell(self.table(inputs["in.ids"]))[0][:, -1])}

    def backend(self, inputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        with torch.inference_mode():
            return {"y": self({name: torch.from_numpy(part) for name, part in inputs.items()})["y"].numpy()}


def test_a_frozen_length_is_rejected() -> None:
    torch.manual_seed(0)
    model, layouts = Frozen().eval(), {"in": TEXT}
    inputs = {name: torch.from_numpy(part) for name, part in random_parts(layouts, 3, 5).items()}
    shapes = {"inputs": {"in.ids": {0: Dim.AUTO, 1: Dim.AUTO}}}
    with quietly(), warnings.catch_warnings():
        program = torch.onnx.export(
            model, kwargs={"inputs": inputs}, dynamo=True, dynamic_shapes=shapes, verbose=False,
            input_names=["in.ids"], output_names=["y"],
        )  # fmt: skip
    proto = program.model_proto
    strip(proto)
    exported = OnnxBackend(proto.SerializeToString(), 1)
    example = {name: part.numpy() for name, part in inputs.items()}
    assert relative_error(exported(example)["y"], model.backend(example)["y"]) < 1e-5  # right where it was traced
    with pytest.raises(CeibaError, match="exported model must"):
        check_parity(model.backend, exported, probes(layouts))


def test_a_length_that_would_be_frozen_is_refused_by_the_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.compiler.is_exporting", lambda: False)  # our own net then exports as torch's
    model, layouts = small("text", "rnn", TEXT, width=4)
    with pytest.raises(CeibaError, match="cannot be exported"):
        onnx_bytes(model, layouts)


def test_a_wrong_weight_is_rejected(table: tuple[Model, dict[str, Layout], bytes]) -> None:
    model, layouts, exported = table
    assert check_parity(TorchBackend(model), OnnxBackend(exported, 1), probes(layouts))["worst"]["y"] < 1e-5
    proto = onnx.load_from_string(exported)
    place, weight = max(enumerate(proto.graph.initializer), key=lambda item: len(item[1].raw_data))
    changed = numpy_helper.to_array(weight).copy()
    changed.flat[int(np.abs(changed).argmax())] *= 1.02
    proto.graph.initializer[place].CopyFrom(numpy_helper.from_array(changed, weight.name))
    with pytest.raises(CeibaError, match=r"answer as the original does.*relative error.*'y'"):
        check_parity(TorchBackend(model), OnnxBackend(proto.SerializeToString(), 1), probes(layouts))


def test_an_output_that_is_not_a_number_is_rejected(table: tuple[Model, dict[str, Layout], bytes]) -> None:
    model, layouts, _ = table

    def broken(parts: Arrays) -> dict[str, np.ndarray[Any, Any]]:
        found = {name: value.copy() for name, value in TorchBackend(model)(parts).items()}
        found["y"][-1, 0] = np.nan
        return found

    with pytest.raises(CeibaError, match="relative error of inf"):
        check_parity(TorchBackend(model), broken, probes(layouts))


def test_the_measure_of_errors() -> None:
    truth = np.array([1.0, -2.0, 0.0])
    assert relative_error(truth, truth) == 0
    assert relative_error(np.array([1.0, -2.2, 0.0]), truth) == pytest.approx(0.1)
    scale = np.sqrt(5 / 3)
    assert relative_error(np.array([1.0, -2.0, 0.01]), truth) == pytest.approx(0.01 / scale)
    assert relative_error(truth[:2], truth) == float("inf")
    assert relative_error(np.array([1.0, np.nan, 0.0]), truth) == float("inf")
    both = np.array([1.0, -np.inf])
    assert relative_error(both, both) == 0
    assert relative_error(-both, np.array([-1.0, -np.inf])) == float("inf")


def test_the_probes_cover_sizes_lengths_and_padding() -> None:
    tried = list(random_probes({"in": TEXT}))
    assert {probe.rows for probe in tried} == {1, 2, 7, 64}
    assert {probe.tokens for probe in tried} == {1, 3, 12, 16}
    ids = tried[-1].parts["in.ids"]
    assert tried[-1].padding > 0
    assert (ids[:, -tried[-1].padding :] == 0).all()
    assert (tried[5].parts["in.ids"][1] == 0).all()  # a row without a token
    assert axes_of("in.ids") == {0: "batch", 1: "in.tokens"}
    assert json.dumps([str(probe) for probe in tried])


def test_what_is_masked_makes_no_error_seem_small() -> None:
    assert MASKED == MASKED_SCORE
    expected = np.full((2, 50, 3), MASKED, np.float32)
    expected[:, 0] = [0.5, -1.0, 2.0]
    found = expected.copy()
    assert relative_error(found, expected) == 0
    found[0, 0, 1] -= 0.01
    assert relative_error(found, expected) == pytest.approx(0.01 / 1.32, rel=0.01)  # the root mean square of the three
    found[0, 0, 1], found[1, 9, 2] = -1.0, 0.0  # a word answered where none is
    assert relative_error(found, expected) >= 1
