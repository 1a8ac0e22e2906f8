"""ONNX files made smaller: weights in 16 bits, and integers of 8 bits.

Constants are folded first: the gates of a recurrent layer, say, are put in ONNX's order by nodes, behind which the
quantizer sees no weights. Tables of vectors are packed row by row, and what the quantizer leaves in floats is stored in
8 bits and widened when the model is opened.
What some versions of onnxruntime's quantizer get wrong is mended beforehand: two products that share one square matrix
were both turned round by it, so each gets its own copy; shapes that hold an example's lengths are left out.
"""

import platform
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.base.optional import require

Array = NDArray[Any]
FLOAT, FLOAT16, BFLOAT16 = 1, 10, 16
LEAST_WEIGHTS = 64
"""Weights of a tensor that is worth storing otherwise."""
LEAST_PACKED = 1024
"""Weights of a tensor that is worth scales of its own and two nodes."""
MOST = 127
"""The largest of the 8-bit integers; -128 stays unused, so that zero is in the middle."""
RECURRENT = ("LSTM", "GRU", "RNN")
PRODUCTS = ("MatMul", "Gemm", "LSTM")
"""Operators whose weights become integers when nothing is known of the activations."""
CONVOLUTIONS = ("Conv", "MatMul", "Gemm")
FAST_INTEGERS = ("avx512_vnni", "avx_vnni", "amx_int8")


def has_fast_integers() -> bool:
    """Whether the processor multiplies 8-bit integers without overflow (VNNI, AMX, or 64-bit ARM)."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    info = Path("/proc/cpuinfo")
    return info.is_file() and any(flag in info.read_text() for flag in FAST_INTEGERS)


def own_weights(model: Any) -> None:
    """Give every product a matrix of its own."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    seen: set[str] = set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if node.op_type not in ("MatMul", "Gemm") or name not in held:
                continue
            if name in seen:
                copy = model.graph.initializer.add()
                copy.CopyFrom(held[name])
                copy.name = f"{name}.{node.name or node.output[0]}"
                node.input[place] = copy.name
            seen.add(name)


def folded(model: bytes) -> bytes:
    """The model with all that depends on weights alone computed beforehand; its operators stay those of ONNX."""
    runtime = require("onnxruntime", "train", "compress a model")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="ceiba-") as folder:
        options.optimized_model_filepath = f"{folder}/folded.onnx"
        runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return Path(options.optimized_model_filepath).read_bytes()


def prepared(model: bytes) -> Any:
    """A model that the quantizer may be given, its tables packed."""
    onnx = require("onnx", "train", "compress a model")
    proto = onnx.load_from_string(folded(model))
    del proto.graph.value_info[:]
    own_weights(proto)
    pack_tables(proto)
    return proto


def rounded(values: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """8-bit integers and their scales, one for each place outside the axes; values ≈ integers × scales.

    Source: Jacob et al. 2018, arXiv:1712.05877, equation 1, with the zero in the middle.
    """
    scale = np.maximum(np.abs(values).max(axes, keepdims=True) / MOST, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale


def readers(model: Any) -> dict[str, list[tuple[Any, int]]]:
    """Who reads a name, and as which input."""
    found: dict[str, list[tuple[Any, int]]] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            found.setdefault(name, []).append((node, place))
    return found


def large(model: Any) -> list[Any]:
    """The tensors of 32-bit weights that are worth packing."""
    return [
        one for one in model.graph.initializer
        if one.data_type == FLOAT and len(one.dims) > 1 and int(np.prod(one.dims)) >= LEAST_PACKED
    ]  # fmt: skip


def pack_tables(model: Any) -> None:
    """Keep tables that rows are looked up in as 8-bit integers with a scale a row; the rows looked up are widened."""
    onnx = require("onnx", "train", "compress a model")
    read, nodes = readers(model), []
    tables = {}
    for tensor in large(model):
        users = read.get(tensor.name, [])
        axes = [[one.i for one in node.attribute if one.name == "axis"] for node, _ in users]
        if users and all(node.op_type == "Gather" and place == 0 for node, place in users) and not any(map(any, axes)):
            values = onnx.numpy_helper.to_array(tensor)
            integers, scales = rounded(values, tuple(range(1, values.ndim)))
            name = tensor.name
            tables[name] = (f"{name}.int8", f"{name}.scale")
            tensor.CopyFrom(onnx.numpy_helper.from_array(integers, tables[name][0]))
            model.graph.initializer.append(onnx.numpy_helper.from_array(scales, tables[name][1]))
    for node in model.graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables:
            nodes.append(node)
            continue
        ids, out = node.input[1], node.output[0]
        for part, table in zip(("int8", "scale"), tables[node.input[0]], strict=True):
            nodes.append(onnx.helper.make_node("Gather", [table, ids], [f"{out}.{part}"], axis=0))
        nodes.append(onnx.helper.make_node("Cast", [f"{out}.int8"], [f"{out}.wide"], to=FLOAT))
        nodes.append(onnx.helper.make_node("Mul", [f"{out}.wide", f"{out}.scale"], [out]))
    replace_nodes(model, nodes)


def pack_rest(model: Any) -> None:
    """Store all other large weights as 8-bit integers with a scale for each output; they are widened when the model is
    opened, so that it computes as before."""
    onnx = require("onnx", "train", "compress a model")
    read, casts = readers(model), []
    for tensor in large(model):
        values, name = onnx.numpy_helper.to_array(tensor), tensor.name
        users = read.get(name, [])
        kind = users[0][0].op_type if users else ""
        options = {one.name: one.i for one in users[0][0].attribute} if users else {}
        if kind == "Conv" or (kind == "Gemm" and options.get("transB")):
            axes = tuple(range(1, values.ndim))
        else:  # recurrent weights hold an output in a row, products in a column
            axes = (values.ndim - 1,) if kind in RECURRENT else (values.ndim - 2,)
        integers, scales = rounded(values, axes)
        tensor.CopyFrom(onnx.numpy_helper.from_array(integers, f"{name}.int8"))
        model.graph.initializer.append(onnx.numpy_helper.from_array(scales, f"{name}.scale"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.int8"], [f"{name}.wide"], to=FLOAT))
        casts.append(onnx.helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
    replace_nodes(model, [*casts, *model.graph.node])


def replace_nodes(model: Any, nodes: list[Any]) -> None:
    """Give a graph these nodes, in order."""
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def with_rest_packed(path: str) -> bytes:
    """What the quantizer wrote, with the weights that it left in floats stored in 8 bits."""
    onnx = require("onnx", "train", "compress a model")
    proto = onnx.load(path)
    pack_rest(proto)
    found: bytes = proto.SerializeToString()
    return found


def stored_int8(model: bytes) -> bytes:
    """Weights stored as 8-bit integers, computed with in floats: the file shrinks, whatever the processor."""
    proto = prepared(model)
    pack_rest(proto)
    found: bytes = proto.SerializeToString()
    return found


def dynamic_int8(model: bytes) -> bytes:
    """Weights as 8-bit integers, per channel; activations are measured and rounded while the model runs."""
    quantization = require("onnxruntime.quantization", "train", "quantize a model")
    with tempfile.TemporaryDirectory(prefix="ceiba-") as folder:
        source, target = f"{folder}/float.onnx", f"{folder}/int8.onnx"
        Path(source).write_bytes(prepared(model).SerializeToString())
        quantization.quantize_dynamic(
            source, target, op_types_to_quantize=list(PRODUCTS), per_channel=True,
            weight_type=quantization.QuantType.QInt8, reduce_range=not has_fast_integers(),
        )  # fmt: skip
        return with_rest_packed(target)


class Calibration:
    """Rows that the ranges of activations are measured on, in the form that the quantizer reads."""

    def __init__(self, batches: list[dict[str, Array]], types: Mapping[str, Any]):
        self.rows: Iterator[dict[str, Array]] = iter(
            [{name: np.ascontiguousarray(batch[name], kind) for name, kind in types.items()} for batch in batches]
        )

    def get_next(self) -> dict[str, Array] | None:
        """The next batch, or nothing."""
        return next(self.rows, None)


def static_int8(model: bytes, batches: list[dict[str, Array]], types: Mapping[str, Any]) -> bytes:
    """Weights and activations as 8-bit integers, per channel; the ranges of activations are measured beforehand."""
    quantization = require("onnxruntime.quantization", "train", "quantize a model")
    with tempfile.TemporaryDirectory(prefix="ceiba-") as folder:
        source, target = f"{folder}/float.onnx", f"{folder}/int8.onnx"
        Path(source).write_bytes(prepared(model).SerializeToString())
        quantization.quantize_static(
            source, target, Calibration(batches, types), quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(CONVOLUTIONS), per_channel=True, reduce_range=not has_fast_integers(),
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        return with_rest_packed(target)


def half(model: bytes, kind: int = FLOAT16) -> bytes:
    """Weights stored in 16 bits; they are widened when the model is opened, so that it computes as before."""
    onnx = require("onnx", "train", "compress a model")
    proto = onnx.load_from_string(model)
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != FLOAT or int(np.prod(tensor.dims)) < LEAST_WEIGHTS:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        name, tensor_name = tensor.name, f"{tensor.name}.half"
        if kind == FLOAT16:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), tensor_name))
        else:
            bits = values.view(np.uint32)
            rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
            made = onnx.TensorProto(name=tensor_name, data_type=BFLOAT16, dims=values.shape, raw_data=rounded.tobytes())
            tensor.CopyFrom(made)
        casts.append(onnx.helper.make_node("Cast", [tensor_name], [name], to=FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    found: bytes = proto.SerializeToString()
    return found
