"""ONNX files made smaller: weights in 16 bits, and integers of 8 bits.

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
PRODUCTS = ("MatMul", "Gemm", "Gather", "LSTM")
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


def prepared(model: bytes) -> Any:
    """A model that the quantizer may be given."""
    onnx = require("onnx", "train", "compress a model")
    proto = onnx.load_from_string(model)
    del proto.graph.value_info[:]
    own_weights(proto)
    return proto


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
        return Path(target).read_bytes()


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
        return Path(target).read_bytes()


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
