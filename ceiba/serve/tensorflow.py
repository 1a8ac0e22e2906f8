"""TensorFlow Serving's REST protocol: rows (instances) and columns (inputs), classify, regress, status, metadata.

Source: tensorflow/serving, `http_rest_api_handler.cc` and `json_tensor.cc`.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from ceiba.answers import BinaryAnswer, ClassesAnswer, NumberAnswer
from ceiba.fields import Field, NumberField, VectorField
from ceiba.serve.app import Endpoint, Service
from ceiba.serve.exchange import Reply, Request, check_depth
from ceiba.serve.intake import Rows
from ceiba.serve.models import Served
from ceiba.serve.records import count_rows, run
from ceiba.serve.refusal import Refusal

SIGNATURE = "serving_default"
MODEL = r"/v1/models/(?P<name>[^/:]{1,200})(?:/versions/(?P<version>\d{1,18})|/labels/(?P<label>[^/:]{1,200}))?"
BYTES_SUFFIX = "_bytes"
CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}


def told(refusal: Refusal, id: str) -> Mapping[str, Any]:
    """A refusal as the protocol says it."""
    return {"error": refusal.message}


def find(request: Request, service: Service, match: re.Match[str]) -> Served:
    """The version that the address names.

    Raises: Refusal for one that is not there.
    """
    version = match["version"]
    served = service.models.find(match["name"], int(version) if version else None, match["label"])
    request.model, request.version = served.name, served.version
    return served


async def body_of(request: Request, service: Service) -> dict[str, Any]:
    """The body as an object; the bare words NaN and Infinity are numbers here, text after the object is passed over.

    Raises: Refusal for anything else.
    """
    body = await request.body(service.load, service.limits)
    check_depth(body, service.limits.depth)
    try:
        value = orjson.loads(body)
    except ValueError:
        try:
            value, _ = json.JSONDecoder().raw_decode(body.decode("utf-8").lstrip())
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "JSON Parse error: the body must be a JSON object.") from error
    if not isinstance(value, dict):
        raise Refusal(400, "JSON Value: the body must be a JSON object. Got something else.")
    signature = value.get("signature_name", SIGNATURE)
    if signature not in ("", SIGNATURE, "classify", "regress"):
        raise Refusal(400, f"The signature must be '{SIGNATURE}'. Got another.")
    return value


async def predict(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """`instances` → `predictions`, `inputs` → `outputs`."""
    assert match is not None
    served = find(request, service, match)
    value = await body_of(request, service)
    if "instances" in value and "inputs" in value:
        raise Refusal(400, "JSON Value: Not formatted correctly expecting either 'instances' or 'inputs'. Got both.")
    if "instances" in value:
        answers = await answered(request, service, served, rows_of(served, value["instances"], service.limits.rows))
        return plain({"predictions": row_wise(served, answers)})
    if "inputs" in value:
        answers = await answered(request, service, served, columns_of(served, value["inputs"], service.limits.rows))
        return plain({"outputs": column_wise(served, answers)})
    raise Refusal(400, "Missing 'inputs' or 'instances' key")


async def answered(
    request: Request, service: Service, served: Served, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Answers of rows; what is wrong with a row is a 400 in this protocol."""
    count_rows(request, service, len(rows))
    return await run(request, service, served, checked(served, rows))


def checked(served: Served, rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Raises: Refusal 400 for what Ceiba's own protocol answers with 422."""
    try:
        return served.intake.rows(rows)
    except Refusal as refusal:
        raise Refusal(400, refusal.message) from refusal


def rows_of(served: Served, instances: Any, most_rows: int) -> list[dict[str, Any]]:
    """Rows: objects of the inputs, or bare values where there is one input.

    Raises: Refusal for anything else.
    """
    if not isinstance(instances, list) or not instances:
        raise Refusal(400, "JSON Value: 'instances' must be a list with at least one value.")
    _count(len(instances), most_rows)
    name = served.intake.alone
    if all(isinstance(one, dict) and not is_bytes(one) for one in instances):
        return [{name: plain_value(value) for name, value in one.items()} for one in instances]
    if name is None:
        asked = _listed(served.intake.asked)
        raise Refusal(
            400, f"instances is a plain list, but expecting list of objects as multiple inputs required: {asked}"
        )
    return [{name: one_value(served.intake.fields.get(name), value)} for value in instances]


def columns_of(served: Served, inputs: Any, most_rows: int) -> list[dict[str, Any]]:
    """The same from columns: an object of lists, or a bare list where there is one input."""
    intake, names = served.intake, served.intake.names
    if not isinstance(inputs, dict) or is_bytes(inputs):
        if intake.alone is None:
            asked = _listed(intake.asked)
            raise Refusal(
                400, f"inputs is a plain value/list, but expecting an object as multiple inputs required: {asked}"
            )
        inputs = {intake.alone: inputs}
    fields = served.intake.fields
    columns = {name: values if isinstance(values, list) else [values] for name, values in inputs.items()}
    if not any(len(column) for column in columns.values()):
        raise Refusal(400, "JSON Value: 'inputs' must hold at least one value.")
    missing = [name for name in intake.needed if name not in columns]
    if missing and not intake.made & set(columns):
        raise Refusal(400, f"Missing named input: {missing[0]} in 'inputs' object.")
    lengths = {len(column) for name, column in columns.items() if name in names}
    if len(lengths) > 1:
        raise Refusal(400, "The inputs must have the same number of rows. Got several.")
    _count(max(lengths, default=0), most_rows)
    kept = {name: [one_value(fields.get(name), value) for value in columns[name]] for name in names if name in columns}
    return [dict(zip(kept, values, strict=True)) for values in zip(*kept.values(), strict=True)]


def _count(rows: int, most: int) -> None:
    if rows > most:
        raise Refusal(400, f"A request may have {most} rows. Got {rows}.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5])


def is_bytes(value: Any) -> bool:
    """Whether a value is {"b64": text}."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def plain_value(value: Any) -> Any:
    """A value of a row; a list of one value is that value, as clients of tensors of shape (rows, 1) write it."""
    return value[0] if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list) else value


def one_value(field: Field | None, value: Any) -> Any:
    """The same, but the lists of a column of lists stay as they are; bytes of text become text."""
    if isinstance(field, VectorField):
        return value
    value = plain_value(value)
    if is_bytes(value) and field is not None and field.kind in ("text", "category", "binary"):
        try:
            return base64.b64decode(value["b64"], validate=True).decode("utf-8")
        except ValueError as error:
            raise Refusal(400, "b64 must hold text in UTF-8 for this input. Got other bytes.") from error
    return value


def row_wise(served: Served, answers: list[dict[str, Any]]) -> list[Any]:
    """A model with one output answers with bare values."""
    names = list(served.outputs)
    return [one[names[0]] for one in answers] if len(names) == 1 else answers


def column_wise(served: Served, answers: list[dict[str, Any]]) -> Any:
    names = list(served.outputs)
    columns = {name: [one[name] for one in answers] for name in names}
    return columns[names[0]] if len(names) == 1 else columns


async def classify(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """[[label, score], ...] of each example, for a model that answers a label."""
    assert match is not None
    served = find(request, service, match)
    name = first_of(served, BinaryAnswer | ClassesAnswer, "classify")
    answers = await answered(request, service, served, examples(await body_of(request, service), service.limits.rows))
    labels = getattr(served.predictor.answers[name], "labels", ())
    return plain({"results": [[[label, _score(one, name, label, labels)] for label in labels] for one in answers]})


def _score(answer: Mapping[str, Any], name: str, label: str, labels: Sequence[str]) -> float:
    """A label's probability; where labels are too many for a column each, only the chosen one's is known."""
    found = answer.get(f"{name}_{label}")
    return float(found) if found is not None else float(answer[f"{name}_probability"] if answer[name] == label else 0.0)


async def regress(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """A number for each example, for a model that answers one."""
    assert match is not None
    served = find(request, service, match)
    name = first_of(served, NumberAnswer, "regress")
    answers = await answered(request, service, served, examples(await body_of(request, service), service.limits.rows))
    return plain({"results": [one[name] for one in answers]})


def first_of(served: Served, kind: Any, verb: str) -> str:
    """The first output of a kind.

    Raises: Refusal for a model without one.
    """
    for name, answer in served.predictor.answers.items():
        if isinstance(answer, kind):
            return name
    raise Refusal(400, f"The model has no output to {verb}. Use :predict.")


def examples(value: Mapping[str, Any], most_rows: int) -> list[dict[str, Any]]:
    """`examples`, each with what stands in `context`.

    Raises: Refusal for anything else.
    """
    found, context = value.get("examples"), value.get("context", {})
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise Refusal(400, "JSON Value: 'examples' must be a list of objects with at least one.")
    if not isinstance(context, dict):
        raise Refusal(400, "JSON Value: 'context' must be an object.")
    _count(len(found), most_rows)
    for one in found:
        if both := sorted(set(one) & set(context)):
            raise Refusal(400, f"A feature must not be in 'context' and in an example. Got '{both[0][:80]}'.")
    return [{name: plain_value(part) for name, part in (context | one).items()} for one in found]


async def status(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """The state of every version, or of one."""
    assert match is not None
    states = service.models.states.get(match["name"])
    if states is None:
        raise Refusal(404, "Could not find any versions of that model.")
    if match["version"] or match["label"]:
        version = find(request, service, match).version
        states = {version: states.get(version, ("AVAILABLE", ""))}
    shown = [
        {
            "version": str(version),
            "state": state,
            "status": {
                "error_code": "UNKNOWN" if message else "OK",
                "error_message": message and "The version could not be loaded.",
            },
        }
        for version, (state, message) in sorted(states.items(), reverse=True)
    ]
    return plain({"model_version_status": shown})


async def metadata(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Names, types and shapes of inputs and outputs."""
    assert match is not None
    served = find(request, service, match)
    signature = {
        "inputs": {name: _tensor(name, *input_type(served, name)) for name in served.intake.asked},
        "outputs": {name: _tensor(name, *output_type(served, name)) for name in served.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    spec = {"name": served.name, "signature_name": "", "version": str(served.version)}
    return plain({"model_spec": spec, "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}}})


def _tensor(name: str, kind: str, shape: Sequence[int]) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": kind, "name": f"{name}:0", "tensor_shape": {"dim": dims, "unknown_rank": False}}


def input_type(served: Served, name: str) -> tuple[str, tuple[int, ...]]:
    """TensorFlow's type of a column, and its shape."""
    field = served.intake.fields.get(name)
    if isinstance(field, VectorField):
        return "DT_FLOAT", (-1, len(field.means))
    return ("DT_FLOAT" if isinstance(field, NumberField) else "DT_STRING"), (-1,)


def output_type(served: Served, name: str) -> tuple[str, tuple[int, ...]]:
    """The same of an output."""
    kind = served.outputs[name]
    if pa.types.is_list(kind):
        return "DT_STRING", (-1, -1)
    return ("DT_DOUBLE" if pa.types.is_floating(kind) else "DT_STRING"), (-1,)


def plain(value: Any) -> Reply:
    """JSON as TensorFlow Serving writes it: NaN and Infinity as bare words."""
    return Reply((json.dumps(encoded(value), indent=4, ensure_ascii=False) + "\n").encode())


def encoded(value: Any, name: str = "") -> Any:
    """Bytes as {"b64": text}, and text of outputs whose name says that they are bytes."""
    if isinstance(value, dict):
        return {key: encoded(part, key) for key, part in value.items()}
    if isinstance(value, list):
        return [encoded(part, name) for part in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return (
        {"b64": base64.b64encode(value.encode()).decode()}
        if isinstance(value, str) and name.endswith(BYTES_SUFFIX)
        else value
    )


async def malformed(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Any other address of the protocol."""
    raise Refusal(400, f"Malformed request: {request.scope['method']} {request.scope['path'][:200]}")


def endpoint(method: str, tail: str, handler: Any) -> Endpoint:
    return Endpoint(method, MODEL + tail, handler, "predict", "tensorflow", is_pattern=True, told=told)


ENDPOINTS = [
    endpoint("POST", ":predict", predict),
    endpoint("POST", ":classify", classify),
    endpoint("POST", ":regress", regress),
    endpoint("GET", "/metadata", metadata),
    endpoint("GET", "", status),
    *(Endpoint(verb, "/v1/models/.*", malformed, "predict", "tensorflow", True, told) for verb in ("GET", "POST")),
]
