"""The Open Inference Protocol, version 2, over HTTP, with Triton's binary tensors.

Source: github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`; Triton's
`protocol/extension_binary_data.md`.
"""

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.fields import ImageField, NumberField, VectorField
from ceiba.serve.app import Endpoint, Service
from ceiba.serve.exchange import JSON, Reply, Request, check_depth, reply_json
from ceiba.serve.models import Served
from ceiba.serve.records import as_cells, count_rows, run
from ceiba.serve.refusal import Refusal
from ceiba.serve.tensorflow import checked

MODEL = r"/v2/models/(?P<name>[^/:]{1,200})(?:/versions/(?P<version>\d{1,18}))?"
HEADER = b"inference-header-content-length"
BINARY_SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
DTYPES: dict[str, str] = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
MOST_DIMS = 8


def told(refusal: Refusal, id: str) -> Mapping[str, Any]:
    """A refusal as the protocol says it."""
    return {"error": refusal.message}


@dataclass(frozen=True)
class Tensor:
    """One input: a name, a shape and its values; texts and files as a list, numbers as an array."""

    name: str
    shape: tuple[int, ...]
    values: list[Any] | NDArray[Any]


def find(request: Request, service: Service, match: re.Match[str] | None) -> Served:
    """The model and version that the address names.

    Raises: Refusal for one that is not there.
    """
    assert match is not None
    served = service.models.find(match["name"], int(match["version"]) if match["version"] else None)
    request.model, request.version = served.name, served.version
    return served


async def server(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Who answers, and which extensions it knows."""
    return reply_json({"name": "ceiba", "version": "2", "extensions": ["binary_tensor_data"]})


async def metadata(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Names, types and shapes of inputs and outputs."""
    served = find(request, service, match)
    value = {
        "name": served.name,
        "versions": [str(one) for one in sorted(service.models.loaded[served.name])],
        "platform": "onnx_onnxv1",
        "inputs": [input_of(served, name) for name in served.intake.asked],
        "outputs": [output_of(name, kind) for name, kind in served.outputs.items()],
    }
    return reply_json(value)


def input_of(served: Served, name: str) -> dict[str, Any]:
    """One input, as metadata tells it."""
    field = served.intake.fields.get(name)
    if isinstance(field, VectorField):
        return {"name": name, "datatype": "FP32", "shape": [-1, len(field.means)]}
    return {"name": name, "datatype": "FP32" if isinstance(field, NumberField) else "BYTES", "shape": [-1, 1]}


def output_of(name: str, kind: pa.DataType) -> dict[str, Any]:
    """One output, as metadata tells it; what is no number is one text, lists of labels joined by ";"."""
    return {"name": name, "datatype": "FP64" if pa.types.is_floating(kind) else "BYTES", "shape": [-1]}


async def model_ready(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Whether a model answers."""
    served = find(request, service, match)
    return reply_json({"name": served.name, "ready": not service.is_draining}, 503 if service.is_draining else 200)


async def infer(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Tensors in, tensors out."""
    served = find(request, service, match)
    body = await request.body(service.load, service.limits)
    value, rest, is_raw = split(request, service, served, body)
    tensors = tensors_of(value, rest)
    wanted = wanted_of(served, value)
    rows = rows_of(served, tensors)
    count_rows(request, service, len(rows))
    answers = await run(request, service, served, checked(served, rows))
    outputs = [
        (name, column(served.outputs[name], [one[name] for one in answers]), is_raw or binary)
        for name, binary in wanted
    ]
    head: dict[str, Any] = {"model_name": served.name, "model_version": str(served.version)}
    if value.get("id"):
        head["id"] = str(value["id"])[:200]
    return packed(head, outputs)


def split(request: Request, service: Service, served: Served, body: bytes) -> tuple[dict[str, Any], bytes, bool]:
    """The JSON, the bytes behind it, and whether there was no JSON: then the body is the one input's data.

    Raises: Refusal for a header that says otherwise.
    """
    said = request.headers.get(HEADER)
    if said is None:
        length = len(body)
    else:
        if not said.isdigit() or len(said) > 18 or int(said) > len(body):
            raise Refusal(400, "Inference-Header-Content-Length must be the length of the JSON within the body.")
        length = int(said)
    if said is not None and length == 0:
        if served.intake.alone is None:
            raise Refusal(400, "A body without JSON needs a model of one input.")
        shown = input_of(served, served.intake.alone)
        shape = [1, *shown["shape"][1:]]
        head = {
            "name": shown["name"],
            "datatype": shown["datatype"],
            "shape": shape,
            "parameters": {BINARY_SIZE: len(body)},
        }
        if shown["datatype"] == "BYTES":
            body = struct.pack("<I", len(body)) + body
            head["parameters"] = {BINARY_SIZE: len(body)}
        return {"inputs": [head]}, body, True
    check_depth(body[:length], service.limits.depth)
    try:
        value = orjson.loads(body[:length])
    except ValueError as error:
        raise Refusal(400, "The request must be JSON, of the length that its header says.") from error
    if not isinstance(value, dict) or not isinstance(value.get("inputs"), list) or not value["inputs"]:
        raise Refusal(400, "The request must be an object with a list 'inputs'.")
    return value, body[length:], False


def tensors_of(value: Mapping[str, Any], rest: bytes) -> list[Tensor]:
    """The inputs; nothing is made of a size that was only claimed.

    Raises: Refusal for sizes that do not fit together, unknown types, or a name that stands twice.
    """
    found: list[Tensor] = []
    at = 0
    for one in value["inputs"]:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Refusal(400, "Each input must be an object with a name.")
        name, shape, kind = one["name"][:200], shape_of(one), one.get("datatype")
        parameters = one.get("parameters") or {}
        size = parameters.get(BINARY_SIZE) if isinstance(parameters, dict) else None
        if kind != "BYTES" and kind not in DTYPES:
            raise Refusal(400, f"input '{name}' must have a known datatype. Use one of: BYTES, {', '.join(DTYPES)}.")
        if any(other.name == name for other in found):
            raise Refusal(400, f"input '{name}' must be given once.")
        if size is None:
            found.append(Tensor(name, shape, _from_json(name, kind, shape, one.get("data"))))
            continue
        if type(size) is not int or size < 0 or at + size > len(rest) or "data" in one:
            raise Refusal(400, f"input '{name}' must have as many bytes as binary_data_size says, and no data.")
        found.append(Tensor(name, shape, _from_bytes(name, kind, shape, rest[at : at + size])))
        at += size
    if at != len(rest):
        raise Refusal(400, f"The inputs must take all bytes behind the JSON. Got {len(rest) - at} more.")
    return found


def shape_of(one: Mapping[str, Any]) -> tuple[int, ...]:
    """Raises: Refusal for what is no shape."""
    shape = one.get("shape")
    is_shape = isinstance(shape, list) and 0 < len(shape) <= MOST_DIMS
    if not is_shape or not all(type(size) is int and 0 <= size < 1 << 40 for size in shape or ()):
        raise Refusal(400, f"input '{one['name'][:200]}' must have a shape of whole numbers.")
    return tuple(shape or ())


def _from_json(name: str, kind: str, shape: tuple[int, ...], data: Any) -> list[Any] | NDArray[Any]:
    if not isinstance(data, list) or kind == "FP16":
        raise Refusal(400, f"input '{name}' must have data, a list; FP16 is sent as binary data alone.")
    flat = _flat(data)
    if len(flat) != math.prod(shape):
        raise Refusal(400, f"input '{name}' must have {math.prod(shape)} values, as its shape says. Got {len(flat)}.")
    if kind == "BYTES":
        return flat
    if not all(type(part) in (int, float, bool) or part is None for part in flat):
        raise Refusal(400, f"input '{name}' must hold numbers.")
    return flat


def _flat(data: list[Any]) -> list[Any]:
    """Nested lists, row after row; depth is bounded by whoever parsed them."""
    while any(type(part) is list for part in data):
        data = [one for part in data for one in (part if type(part) is list else [part])]
    return data


def _from_bytes(name: str, kind: str, shape: tuple[int, ...], data: bytes) -> list[Any] | NDArray[Any]:
    count = math.prod(shape)
    if kind == "BYTES":
        found: list[Any] = []
        at = 0
        while at < len(data):
            if at + 4 > len(data):
                break
            (size,) = struct.unpack_from("<I", data, at)
            if at + 4 + size > len(data):
                break
            found.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        if at != len(data) or len(found) != count:
            raise Refusal(400, f"input '{name}' must hold {count} elements, each after its length.")
        return found
    dtype = np.dtype(DTYPES[kind])
    if count * dtype.itemsize != len(data):
        raise Refusal(
            400, f"input '{name}' must have {count * dtype.itemsize} bytes, as its shape says. Got {len(data)}."
        )
    return np.frombuffer(data, dtype)


def rows_of(served: Served, tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Tensors of equal first dimension → rows.

    Raises: Refusal for tensors of several numbers of rows, or too many values a row.
    """
    counts = {tensor.shape[0] for tensor in tensors}
    if len(counts) != 1:
        raise Refusal(400, "The inputs must have the same first dimension. Got several.")
    (count,) = counts
    columns = {tensor.name: _column(served, tensor, count) for tensor in tensors if tensor.name in served.intake.kinds}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _column(served: Served, tensor: Tensor, rows: int) -> list[Any]:
    field = served.intake.fields.get(tensor.name)
    values = tensor.values.tolist() if isinstance(tensor.values, np.ndarray) else tensor.values
    width = math.prod(tensor.shape[1:])
    if not isinstance(field, ImageField):
        values = [_text(tensor.name, value) if isinstance(value, bytes) else value for value in values]
    if isinstance(field, VectorField):
        return [values[row * width : (row + 1) * width] for row in range(rows)]
    if width != 1:
        raise Refusal(400, f"input '{tensor.name}' must have one value a row. Got {width}.")
    return values


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"input '{name}' must hold text in UTF-8. Got other bytes.") from error


def wanted_of(served: Served, value: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Which outputs, and whether each is wanted as binary data.

    Raises: Refusal for an output that the model does not have.
    """
    parameters = value.get("parameters")
    every = bool(parameters.get(ALL_BINARY)) if isinstance(parameters, dict) else False
    asked = value.get("outputs")
    if not asked:
        return [(name, every) for name in served.outputs]
    found = []
    for one in asked if isinstance(asked, list) else [None]:
        if not isinstance(one, dict) or one.get("name") not in served.outputs:
            raise Refusal(
                400, f"Each output must be an object with the name of one. Use: {', '.join(list(served.outputs)[:5])}."
            )
        own = one.get("parameters")
        found.append((one["name"], bool(own.get(BINARY, every)) if isinstance(own, dict) else every))
    return found


def column(kind: pa.DataType, values: list[Any]) -> NDArray[Any] | list[str]:
    """One output's values."""
    if pa.types.is_floating(kind):
        return np.array(values, np.float64)
    return ["" if value is None else str(value) for value in as_cells(kind, values)]


def packed(head: dict[str, Any], outputs: Sequence[tuple[str, NDArray[Any] | list[str], bool]]) -> Reply:
    """The reply: JSON, and behind it the tensors that were wanted as bytes."""
    shown, tail = [], b""
    for name, values, is_binary in outputs:
        kind = "FP64" if isinstance(values, np.ndarray) else "BYTES"
        one: dict[str, Any] = {"name": name, "datatype": kind, "shape": [len(values)]}
        if is_binary:
            data = (
                values.tobytes()
                if isinstance(values, np.ndarray)
                else b"".join(struct.pack("<I", len(text)) + text for text in map(str.encode, values))
            )
            one["parameters"] = {BINARY_SIZE: len(data)}
            tail += data
        else:
            one["data"] = values
        shown.append(one)
    body = orjson.dumps(head | {"outputs": shown}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tail:
        return Reply(body, content_type=JSON)
    return Reply(body + tail, content_type=b"application/octet-stream", headers=[(HEADER, b"%d" % len(body))])


def health(kind: str) -> Any:
    """Live or ready."""

    async def check(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
        is_ready = service.models.is_ready and not service.is_draining
        if kind == "live":
            return reply_json({"live": True})
        return reply_json({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    return check


def endpoint(method: str, tail: str, handler: Any) -> Endpoint:
    return Endpoint(method, MODEL + tail, handler, "predict", "inference", is_pattern=True, told=told)


ENDPOINTS = [
    Endpoint("GET", "/v2", server, None, "inference", told=told),
    Endpoint("GET", "/v2/health/live", health("live"), None, "inference", told=told),
    Endpoint("GET", "/v2/health/ready", health("ready"), None, "inference", told=told),
    endpoint("GET", "", metadata),
    endpoint("GET", "/ready", model_ready),
    endpoint("POST", "/infer", infer),
]
