"""The onnxruntime backend: parts in by name and type, outputs out by name, and plain words where it cannot."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from ceiba.answers import NumberAnswer
from ceiba.base.errors import BundleError, MissingPackage
from ceiba.base.memory import anonymous_bytes
from ceiba.bundle import derive_bundle, open_bundle, write_bundle
from ceiba.fields import CategorySpec, Fields, NumberSpec
from ceiba.predict import OnnxBackend, Predictor, open_onnx


def exported() -> bytes:
    """A model that adds up the numbers and the codes of a row; codes are int64 there, as exporters like them."""
    nodes = [
        helper.make_node("Cast", ["table.codes"], ["codes"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["table.numbers", "codes"], ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "axes"], ["price"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "sum",
        [
            helper.make_tensor_value_info("table.numbers", TensorProto.FLOAT, ["rows", 1]),
            helper.make_tensor_value_info("table.codes", TensorProto.INT64, ["rows", 1]),
        ],
        [helper.make_tensor_value_info("price", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(onnx.ModelProto.SerializeToString(model))


ARRAYS = {
    "table.numbers": np.array([[1.5], [2.5]], dtype=np.float32),
    "table.codes": np.array([[3], [4]], dtype=np.int32),
    "text.ids": np.zeros((2, 7), dtype=np.int32),
}


def test_parts_by_name_and_type(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(exported())
    for model in (exported(), tmp_path / "model.onnx"):
        backend = OnnxBackend(model, threads=1)
        assert backend(ARRAYS)["price"].tolist() == [4.5, 6.5]
    strided = {**ARRAYS, "table.numbers": np.arange(8, dtype=np.float32)[::4][:, None]}
    assert backend(strided)["price"].tolist() == [3.0, 8.0]


def test_what_large_batches_took_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = 16_000_000  # pieces that the allocator always maps apart, whatever other tests left in its heap
    nodes = [
        helper.make_node("Tile", ["row", "times"], ["all"]),
        helper.make_node("Exp", ["all"], ["grown"]),
        helper.make_node("ReduceSum", ["grown", "axes"], ["sum"], keepdims=0),
    ]
    row, found = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1][:rank])
                  for name, rank in (("row", 2), ("sum", 1)))  # fmt: skip
    constants = [helper.make_tensor("times", TensorProto.INT64, [2], [1, wide]),
                 helper.make_tensor("axes", TensorProto.INT64, [1], [1])]  # fmt: skip
    graph = helper.make_graph(nodes, "wide", [row], [found], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    backend, one = OnnxBackend(model.SerializeToString(), threads=1), np.zeros((1, 1), np.float32)
    for _ in range(2):  # the pool's first piece stays
        assert backend({"row": one})["sum"].tolist() == [wide]
    held = anonymous_bytes()
    monkeypatch.setattr("ceiba.predict.onnx.TIDY_S", -1.0)
    assert backend({"row": one})["sum"].tolist() == [wide]
    assert held - anonymous_bytes() > 4 * wide


def test_threads_may_share_it() -> None:
    backend = OnnxBackend(exported(), threads=1)

    def run(place: int) -> float:
        return float(backend({**ARRAYS, "table.numbers": ARRAYS["table.numbers"] + place})["price"][0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(200))) == [4.5 + place for place in range(200)]


def test_a_missing_part_and_no_model(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"table\.codes"):
        OnnxBackend(exported(), 1)({"table.numbers": ARRAYS["table.numbers"]})
    for bad in (b"", b"no model", exported()[:50], tmp_path / "absent.onnx"):
        with pytest.raises(BundleError, match="readable by onnxruntime") as caught:
            OnnxBackend(bad, 1)
        assert "\n" not in str(caught.value)


def test_a_device_that_the_runtime_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(MissingPackage, match=r"device cuda.*CPUExecutionProvider.*pip install onnxruntime-gpu"):
            OnnxBackend(exported(), 1, "cuda")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with warnings.catch_warnings():  # the runtime warns and would go on with the processor
        warnings.simplefilter("ignore")
        with pytest.raises(MissingPackage, match="onnxruntime-gpu"):
            OnnxBackend(exported(), 1, "cuda")


def test_a_device_that_the_runtime_has(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = [], onnxruntime.InferenceSession

    class Session:
        def __init__(self, source: bytes, options: Any, providers: Any):
            asked.extend(providers)
            self.inner = real(source, options, providers=["CPUExecutionProvider"])
            self.get_inputs, self.get_outputs, self.run = self.inner.get_inputs, self.inner.get_outputs, self.inner.run

        def get_providers(self) -> list[str]:
            return [name for name, _ in asked]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    assert OnnxBackend(exported(), 1, "cuda")(ARRAYS)["price"].tolist() == [4.5, 6.5]
    assert [name for name, _ in asked] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert asked[0][1] == {"use_tf32": "0"}


def test_from_a_bundle(tmp_path: Path) -> None:
    fields = Fields(
        {
            "area": NumberSpec(normalize="none", bins=None, indicator=False).fit([pa.array([1.0, 2.0])]),
            "city": CategorySpec().fit([pa.array(["a", "b"])]),
        },
        {},
    )
    plain = write_bundle(
        tmp_path / "plain",
        kind="model",
        model={},
        answers={"price": NumberAnswer(0.0, 1.0).to_json()},
        fields_json=fields.to_json(),
        field_files=fields.files(),
        recipe_yaml="",
        weights=None,
    )
    with pytest.raises(BundleError, match=r"model\.onnx.*ceiba export"):
        open_onnx(open_bundle(plain))
    bundle = open_bundle(derive_bundle(open_bundle(plain), tmp_path / "exported", {"model.onnx": exported()}))
    predictor = Predictor.from_bundle(bundle, open_onnx(bundle, 1))
    assert predictor.predict([{"area": 1.5, "city": "b"}, {"area": 2, "city": "?"}]) == [{"price": 4.5}, {"price": 3.0}]
