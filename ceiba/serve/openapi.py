"""What is served, described: OpenAPI for programs, a page to read it, and a page to try a model by hand."""

import html
import re
from importlib.resources import files
from typing import Any

import pyarrow as pa

from ceiba.answers import SpanAnswer
from ceiba.fields import BinaryField, CategoryField, Field, NumberField, SetField, VectorField
from ceiba.serve.app import Endpoint, Service
from ceiba.serve.exchange import Reply, Request, reply_json
from ceiba.serve.intake import LARGEST
from ceiba.serve.models import Served, example_value
from ceiba.serve.refusal import Refusal

MOST_LABELS = 200
"""A column of more labels is not a choice but a text."""
SINGLE = ["number", "string", "boolean", "null"]
"""A value of a column may be written in any of these: 39, "39" and 39.0 are one number."""
NUMBER = r"^([-+]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})([eE][-+]?[0-9])?|true|false)?$"
"""Text that spells a number."""
FILE_KINDS = ("image", "audio")
FILE = {"type": "string", "contentEncoding": "base64", "minLength": 4}
HTML = b"text/html; charset=utf-8"
POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    b"img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
ERROR = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
}
REFUSALS = {
    "400": "The body is no JSON.", "401": "A valid key is needed.", "403": "The key has another role.",
    "404": "There is no such model or version.", "413": "The request is too large.",
    "415": "The body is of another kind.", "422": "A row breaks a rule.", "429": "The key's rate is spent.",
    "500": "The model's answer is not a finite number.", "503": "The queue is full.",
    "504": "The request's time passed.",
}  # fmt: skip


def column(field: Field | None, is_text: bool = False) -> dict[str, Any]:
    """A column as JSON Schema; `x-ceiba-kind` tells a form how to ask for it. `is_text`: one without a field, which is
    joined with others."""
    kind = field.kind if field is not None else "text" if is_text else "any"
    shown: dict[str, Any] = {"x-ceiba-kind": kind}
    if isinstance(field, NumberField):
        return shown | {"type": SINGLE, "minimum": -LARGEST, "maximum": LARGEST, "pattern": NUMBER}
    if isinstance(field, VectorField):
        size = len(field.means)
        return shown | {
            "type": ["array", "string", "null"],
            "items": {"type": SINGLE},
            "minItems": size,
            "maxItems": size,
        }
    if isinstance(field, SetField):
        return shown | {
            "type": ["array", *SINGLE],
            "items": {"type": SINGLE},
            "x-ceiba-labels": list(field.labels[:MOST_LABELS]),
        }
    if kind == "words":
        word = {"type": ["string", "number", "boolean"], "minLength": 1}
        return shown | {"type": ["array", "string", "null"], "items": word}
    if isinstance(field, CategoryField | BinaryField) and len(field.labels) <= MOST_LABELS:
        return shown | {"type": SINGLE, "x-ceiba-labels": list(field.labels)}
    if kind in FILE_KINDS:
        return shown | {"anyOf": [FILE, {"type": "object", "properties": {"b64": FILE}, "required": ["b64"],
                                         "additionalProperties": False}]}  # fmt: skip
    return shown | {"type": SINGLE if kind != "any" else ["array", *SINGLE]}


def row_schema(served: Served) -> dict[str, Any]:
    """A row of a model."""
    intake, fields = served.intake, served.intake.fields
    return {
        "type": "object",
        "required": list(intake.needed),
        "properties": {name: column(fields.get(name), name in intake.texts) for name in intake.asked},
        "additionalProperties": intake.extra == "ignore",
        "example": {name: example_value(fields.get(name)) for name in intake.asked},
    }


def answer_schema(served: Served) -> dict[str, Any]:
    """An answer of a model."""
    answers = served.predictor.answers
    may_lack = [name for name, answer in answers.items() if isinstance(answer, SpanAnswer)]
    lacking = {f"{name}{part}" for name in may_lack for part in ("", "_start", "_end")}
    kinds = {name: _answer_kind(kind, name in lacking) for name, kind in served.outputs.items()}
    return {"type": "object", "required": list(kinds), "properties": kinds}


def _answer_kind(kind: pa.DataType, may_lack: bool = False) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"type": "array", "items": _answer_kind(kind.value_type)}
    if pa.types.is_struct(kind):
        parts = {part.name: _answer_kind(part.type) for part in kind}
        return {"type": "object", "required": list(parts), "properties": parts}
    name = "number" if pa.types.is_floating(kind) else "integer" if pa.types.is_integer(kind) else "string"
    return {"type": [name, "null"] if may_lack else name}


def document(service: Service) -> dict[str, Any]:
    """The whole description."""
    found = [service.models.find(name) for name in service.models.routes]
    tables = [served for served in found if served.table is not None]
    paths = {f"/v1/predict/{served.name}": {"post": _operation(served)} for served in tables}
    probes = {
        path: {"get": _probe(text)}
        for path, text in (("/live", "The process answers."), ("/ready", "Models are loaded."))
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ceiba", "version": "1", "description": "Rows in, answers out."},
        "paths": paths | probes,
        "components": {
            "schemas": {"Error": ERROR}
            | {f"{served.name}.row": row_schema(served) for served in tables}
            | {f"{served.name}.answer": answer_schema(served) for served in tables},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [] if service.guard.keys is None else [{"key": []}],
    }


def _operation(served: Served) -> dict[str, Any]:
    row, answer = ({"$ref": f"#/components/schemas/{served.name}.{what}"} for what in ("row", "answer"))
    refused = {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    done = {"application/json": {"schema": {"anyOf": [answer, {"type": "array", "items": answer}]}}}
    return {
        "operationId": f"predict {served.name}",
        "summary": f"Answer a row, or several, with {served.name}.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [row, {"type": "array", "items": row, "maxItems": 10_000}]}}
            },
        },
        "responses": {"200": {"description": "The answers, in the order of the rows.", "content": done}}
        | {status: refused | {"description": text} for status, text in REFUSALS.items()},
    }


def _probe(text: str) -> dict[str, Any]:
    flags = {"type": "object", "properties": {"live": {"type": "boolean"}, "ready": {"type": "boolean"}}}
    shown = {"description": text, "content": {"application/json": {"schema": flags}}}
    return {"summary": text, "security": [], "responses": {"200": shown, "503": shown | {"description": "Not now."}}}


async def openapi(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """The description, for programs."""
    return reply_json(document(service))


async def page(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """A page to try a model by hand; it holds nothing of the models, which it asks for with the visitor's key."""
    return Reply(files("ceiba.serve").joinpath("page.html").read_bytes(), content_type=HTML, headers=list(PAGE_HEADERS))


async def docs(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """The addresses, for people."""
    if not service.models.is_ready:
        raise Refusal(503, "No model is loaded yet. Try again later.", 1)
    rows = "".join(f"<tr><td><code>{html.escape(address)}</code><td>{html.escape(text)}" for address, text in ADDRESSES)
    text = files("ceiba.serve").joinpath("docs.html").read_text(encoding="utf-8").replace("{{rows}}", rows)
    return Reply(text.encode(), content_type=HTML, headers=list(PAGE_HEADERS))


ADDRESSES = (
    ("POST /v1/predict", "a row or a list of rows in JSON, a table as CSV, or one file, for the first model"),
    ("POST /v1/predict/NAME", "the same for the model of that name; ?version=2 or ?label=canary choose a version"),
    ("POST /v1/models/NAME:predict, :classify, :regress", "TensorFlow Serving"),
    (
        "GET /v1/models/NAME, /v1/models/NAME/metadata",
        "TensorFlow Serving: versions and their states, inputs and outputs",
    ),
    ("GET /v2, /v2/models/NAME · POST /v2/models/NAME/infer", "Open Inference Protocol, with binary tensors"),
    ("POST /v1/chat/completions, /v1/completions, /v1/embeddings", "OpenAI, for language models"),
    ("GET /v1/models", "OpenAI: the models"),
    (
        "GET /v1/admin/models · POST /v1/admin/models/NAME, /v1/admin/reload",
        "versions, roll-back, canaries; needs an admin key",
    ),
    ("GET /live, /ready, /metrics", "probes, and Prometheus text"),
    ("GET /openapi.json", "the description of the models' rows and answers"),
    ("GET /", "a page to try a model by hand"),
)

ENDPOINTS = [
    Endpoint("GET", "/", page, None, "page"),
    Endpoint("GET", "/docs", docs, None, "page"),
    Endpoint("GET", "/openapi.json", openapi, "predict", "page"),
]
