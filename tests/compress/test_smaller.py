"""Files made smaller: what is stored, what the quantizer would have got wrong, what a search must refuse."""

import copy
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ceiba.base.errors import InputError
from ceiba.compress.goal import Goal, read_goal
from ceiba.compress.measure import race
from ceiba.compress.search import choose, judge
from ceiba.compress.smaller import (
    BFLOAT16,
    dynamic_int8,
    half,
    own_weights,
    pack_tables,
    rounded,
    static_int8,
    stored_int8,
)

RANDOM = np.random.default_rng(0)
SQUARE = RANDOM.normal(0, 0.2, (64, 64)).astype(np.float32)
ROWS = RANDOM.normal(size=(8, 64)).astype(np.float32)


def info(name: str, size: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])


def tied() -> bytes:
    """One square matrix in two products, as layers of equal weights are exported."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], transB=1, name="one"),
        helper.make_node("Gemm", ["h", "w"], ["y"], transB=1, name="two"),
    ]
    graph = helper.make_graph(nodes, "g", [info("x", 64)], [info("y", 64)], [numpy_helper.from_array(SQUARE, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def run(model: bytes) -> np.ndarray:
    return onnxruntime.InferenceSession(model).run(None, {"x": ROWS})[0]


def error(model: bytes) -> float:
    expected = ROWS @ SQUARE.T @ SQUARE.T
    return float(np.sqrt(((run(model) - expected) ** 2).mean() / (expected**2).mean()))


def test_products_that_share_a_matrix_are_quantized_right() -> None:
    assert error(dynamic_int8(tied())) < 0.03
    assert error(static_int8(tied(), [{"x": ROWS}], {"x": np.float32})) < 0.05


def test_each_product_gets_a_matrix_of_its_own() -> None:
    model = onnx.load_from_string(tied())
    own_weights(model)
    assert len({node.input[1] for node in model.graph.node}) == 2
    np.testing.assert_array_equal(run(model.SerializeToString()), run(tied()))


def read() -> bytes:
    """A table of vectors, a convolution, and a recurrent layer whose gates are put in order by nodes, as exported."""
    hidden, width, vocab = 24, 32, 900
    random = np.random.default_rng(1)
    gates = random.normal(0, 0.2, (4 * hidden, width)).astype(np.float32)
    again = random.normal(0, 0.2, (1, 4 * hidden, hidden)).astype(np.float32)
    table = random.normal(size=(vocab, width)).astype(np.float32)
    table[0] = 0
    kernel = random.normal(0, 0.2, (width, width, 3)).astype(np.float32)
    weights = {"table": table, "kernel": kernel, "gates": gates, "again": again, "head": SQUARE[:hidden]}
    places = {"start": [2 * hidden], "end": [4 * hidden], "zero": [0], "half": [2 * hidden], "axis": [0]}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], name="look"),
        helper.make_node("Transpose", ["e"], ["t"], perm=[0, 2, 1]),  # (row, channel, time)
        helper.make_node("Conv", ["t", "kernel"], ["c"], pads=[1, 1], name="conv"),
        helper.make_node("Transpose", ["c"], ["s"], perm=[2, 0, 1]),  # (time, row, channel)
        helper.make_node("Slice", ["gates", "start", "end", "axis"], ["second"]),
        helper.make_node("Slice", ["gates", "zero", "half", "axis"], ["first"]),
        helper.make_node("Concat", ["second", "first"], ["ordered"], axis=0),
        helper.make_node("Unsqueeze", ["ordered", "axis"], ["w"]),
        helper.make_node("LSTM", ["s", "w", "again"], ["", "last"], hidden_size=hidden, name="lstm"),
        helper.make_node("Squeeze", ["last", "axis"], ["h"]),
        helper.make_node("MatMul", ["h", "head"], ["y"], name="product"),
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    stored += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in places.items()]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, ["rows", "tokens"])
    graph = helper.make_graph(nodes, "g", [ids], [info("y", 64)], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


IDS = [{"ids": RANDOM.integers(0, 900, (16, tokens)).astype(np.int32)} for tokens in (5, 11)]


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (stored_int8, 0.02),
        (dynamic_int8, 0.04),
        (lambda model: static_int8(model, IDS, {"ids": np.int32}), 0.06),
    ],
    ids=["weights", "dynamic", "static"],
)
def test_every_large_weight_is_packed(make: Any, most: float) -> None:
    found, options = make(read()), onnxruntime.SessionOptions()
    options.log_severity_level = 3
    assert len(found) < 0.3 * len(read())
    wide = [one for one in onnx.load_from_string(found).graph.initializer if one.data_type == TensorProto.FLOAT]
    assert max(int(np.prod(one.dims)) for one in wide) <= 900  # a scale a row, and nothing larger
    before, after = (onnxruntime.InferenceSession(model, options) for model in (read(), found))
    for rows in IDS:  # a length and another
        expected, got = before.run(None, rows)[0], after.run(None, rows)[0]
        assert 0 < np.sqrt(((got - expected) ** 2).mean() / expected.var()) < most


def test_a_table_that_is_looked_up_by_columns_is_left_as_it_is() -> None:
    nodes = [helper.make_node("Gather", ["w", "ids"], ["y"], axis=1)]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["columns"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [64, "columns"])
    graph = helper.make_graph(nodes, "g", [ids], [out], [numpy_helper.from_array(SQUARE, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pack_tables(model)
    onnx.checker.check_model(model)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"ids": np.array([3, 60])})[0]
    np.testing.assert_array_equal(found, SQUARE[:, [3, 60]])


def test_rounding_is_by_the_axis_and_keeps_zero() -> None:
    values = np.array([[1.0, -127.0], [0.0, 0.0], [0.5, 0.25]], np.float32)
    integers, scales = rounded(values, (1,))
    np.testing.assert_array_equal(integers, [[1, -127], [0, 0], [127, 64]])
    np.testing.assert_allclose(integers * scales, values, atol=0.25 / 64)


@pytest.mark.parametrize(("kind", "most"), [(TensorProto.FLOAT16, 1e-3), (BFLOAT16, 8e-3)])
def test_weights_in_16_bits(kind: int, most: float) -> None:
    found = half(tied(), kind)
    assert len(found) < 0.6 * len(tied())
    assert 0 < error(found) < most


def test_bfloat16_rounds_to_nearest() -> None:
    model = onnx.load_from_string(tied())
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1.00390625, 3e38], np.float32).repeat(16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
    tensor = onnx.load_from_string(half(model.SerializeToString(), BFLOAT16)).graph.initializer[0]
    found = (np.frombuffer(tensor.raw_data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(found[::16], [1.0, 1.0, 1.015625, -1.0, 3e38], rtol=2**-8)
    assert found[::16][1] == 1.0  # halfway goes to even


def test_goals_are_read_strictly() -> None:
    goal = read_goal("latency <= 0.5x, throughput>=2x, drop <= 1.5%")
    assert goal == Goal({"latency": 0.5, "throughput": 2.0}, 1.5)
    assert read_goal("") == Goal({}, 0.5)
    assert goal.missed({"latency": 0.4, "throughput": 1.5}) == ["throughput 1.50x, wanted >= 2x"]
    for text, says in [("speed <= 2x", "known"), ("latency >= 2x", "right way"), ("latency <= 2", "right way"),
                       ("drop <= 1x", "right way"), ("latency", "name, <= or >=")]:  # fmt: skip
        with pytest.raises(InputError, match=says):
            read_goal(text)


GOOD: dict[str, Any] = {
    "name": "good", "distance": 0.01, "class_drop": 0.0, "class": "",
    "drop": {"y": {"value": 0.1, "low": -0.1, "high": 0.3}},
    "ratios": {"latency": 0.4, "p99": 0.5, "throughput": 2.0, "size": 0.3, "memory": 1.0},
}  # fmt: skip


def changed(**more: Any) -> dict[str, Any]:
    row = copy.deepcopy(GOOD)
    for name, value in more.items():
        row[name] = {**row[name], **value} if isinstance(value, dict) else value
    return row


@pytest.mark.parametrize(
    ("row", "verdict", "says"),
    [
        (GOOD, "reaches the goal", ""),
        (changed(distance=0.4), "refused", "gone wrong"),
        (changed(drop={"y": {"value": 0.3, "low": 0.0, "high": 0.6}}), "refused", "may have lost 0.60 points"),
        (changed(class_drop=40.0, **{"class": "shirt"}), "refused", "class shirt lost 40.0 points"),
        (changed(ratios={"latency": 1.2, "throughput": 0.9, "size": 1.0}), "not taken", "neither faster nor smaller"),
        (changed(ratios={"latency": 0.6}), "misses the goal", "latency 0.60x, wanted <= 0.5x"),
    ],
)
def test_verdicts(row: dict[str, Any], verdict: str, says: str) -> None:
    found, why = judge(row, read_goal("latency <= 0.5x"), is_rounded=True)
    assert found == verdict
    assert says in why


def test_the_best_by_the_first_term_is_chosen() -> None:
    rows = [changed(name=name, ratios={"latency": latency, "size": size}, verdict="reaches the goal")
            for name, latency, size in [("a", 0.4, 0.2), ("b", 0.3, 0.9)]]  # fmt: skip
    assert choose(rows, read_goal("latency <= 1x")) == "b"
    assert choose(rows, read_goal("size <= 1x, latency <= 1x")) == "a"
    assert choose([changed(verdict="refused")], Goal()) is None


def test_a_slower_model_is_seen_to_be_slower() -> None:
    def busy(times: int) -> Any:
        def call(parts: Any) -> None:
            for _ in range(times):
                np.linalg.norm(SQUARE @ SQUARE)

        return call

    first, second = race(busy(2), busy(20), [{}])
    assert len(first) == len(second)
    assert np.median(second) > 3 * np.median(first)
