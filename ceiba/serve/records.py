"""Ceiba's own protocol: rows as a person writes them.

POST /v1/predict            a row {"column": value} → its answer; a list of rows → a list of answers; CSV → CSV
POST /v1/predict/NAME       the same of a model by its name; ?version=2 or ?label=canary choose a version
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from ceiba.predict import unnested
from ceiba.serve.app import Endpoint, Service
from ceiba.serve.exchange import STRINGS, Reply, Request, parse_json, reply_json
from ceiba.serve.intake import Rows
from ceiba.serve.models import Served
from ceiba.serve.refusal import Refusal

CSV, JSON = b"text/csv", b"application/json"
NAME = r"(?P<name>[^/:?#]{1,200})"


async def predict(request: Request, service: Service, match: re.Match[str] | None) -> Reply:
    """Answer one row, several rows, a CSV table or one file."""
    served = find(request, service, match["name"] if match else None)
    body = await request.body(service.load, service.limits)
    kind = request.headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
    if kind == CSV:
        rows: list[Any] = from_csv(body, service.limits.rows)
        answers = await answer(request, service, served, rows)
        return Reply(to_csv(served, kept(served, rows, answers)), content_type=b"text/csv; charset=utf-8")
    if kind.startswith((b"image/", b"audio/")) or kind == b"application/octet-stream":
        return reply_json((await answer(request, service, served, [as_row(served, body)]))[0])
    value = parse_json(body, service.limits)
    is_one = type(value) is dict
    if not is_one and type(value) is not list:
        raise Refusal(422, 'The body must be a row {"column": value} or a list of rows. Got something else.')
    rows = [value] if is_one else value
    check_names_once(body, rows)
    answers = kept(served, rows, await answer(request, service, served, rows))
    if request.headers.get(b"accept") == CSV:
        return Reply(to_csv(served, answers), content_type=b"text/csv; charset=utf-8")
    return reply_json(answers[0] if is_one else answers)


def find(request: Request, service: Service, name: str | None) -> Served:
    """The model and version that a request names.

    Raises: Refusal for one that is not there.
    """
    query = request.query
    version, label = query.get("version"), query.get("label")
    if version is not None and not version.isdecimal():
        raise Refusal(400, "version must be a whole number. Got something else. Use the number of a version.")
    served = service.models.find(name, int(version[:18]) if version is not None else None, label)
    request.model, request.version = served.name, served.version
    return served


async def answer(request: Request, service: Service, served: Served, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Answers of rows, within the limits and the key's rate.

    Raises: Refusal for too many rows, bad ones, or a server under too much load.
    """
    count_rows(request, service, len(rows))
    return await run(request, service, served, served.intake.rows(rows))


def count_rows(request: Request, service: Service, rows: int) -> None:
    """Hold a request's rows against the limits before anything is made of them."""
    if rows > service.limits.rows:
        raise Refusal(422, f"A request may have {service.limits.rows} rows. Got {rows}. Send fewer at a time.")
    service.guard.spend(request, rows)
    request.rows = rows


async def run(request: Request, service: Service, served: Served, rows: Rows) -> list[dict[str, Any]]:
    """Answers of checked rows."""
    return await served.batcher.submit(rows, request.deadline, request.is_gone)


def kept(served: Served, rows: Sequence[Any], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ids are passed through, before the answers."""
    ids = served.predictor.ids
    if not ids:
        return answers
    return [{name: row[name] for name in ids if name in row} | one for row, one in zip(rows, answers, strict=True)]


def as_row(served: Served, body: bytes) -> Mapping[str, Any]:
    """The row of a body that is one file.

    Raises: Refusal if the model reads more than one file.
    """
    name = served.intake.alone
    if name is None:
        raise Refusal(415, "A file alone is a row only for a model of one input. Send JSON with the file in base64.")
    return {name: body}


def check_names_once(body: bytes, rows: Sequence[Any]) -> None:
    """Raises: Refusal for an object that names a column twice: a parser keeps the last one in silence."""
    colons = body.count(b":")
    if colons <= sum(len(row) for row in rows if type(row) is dict):  # most bodies: rows of plain values
        return
    names = sum(map(_names, rows))
    if colons > names and STRINGS.sub(b"", body).count(b":") > names:
        raise Refusal(400, "An object must name each column once. Got a name twice. Keep one.")


def _names(value: Any) -> int:
    """Names in objects, at any depth."""
    if type(value) is dict:
        return len(value) + sum(_names(one) for one in value.values() if type(one) is dict or type(one) is list)
    return sum(map(_names, value)) if type(value) is list else 0


def from_csv(body: bytes, most_rows: int) -> list[dict[str, Any]]:
    """A CSV table with a header → rows of text; empty cells are missing.

    Raises: Refusal for what is no such table.
    """
    if body.count(b"\n") > 2 * most_rows + 2:
        raise Refusal(422, f"A request may have {most_rows} rows. Got more. Send fewer at a time.")
    try:
        header = next(csv.reader(io.StringIO(body.partition(b"\n")[0].decode("utf-8-sig"))), [])
        if len(set(header)) < len(header):
            raise Refusal(400, "The header must name each column once. Got a name twice. Rename one.")
        options = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        table = pa_csv.read_csv(io.BytesIO(body), convert_options=options)
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        raise Refusal(400, "The body must be a CSV table in UTF-8 with a header. Got something else.") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def to_csv(served: Served, answers: Sequence[Mapping[str, Any]]) -> bytes:
    """Answers as a CSV table with a header."""
    buffer = io.StringIO()
    if answers:
        names = list(answers[0])
        columns = [as_cells(served.outputs.get(name), [row.get(name) for row in answers]) for name in names]
        csv.writer(buffer, lineterminator="\n").writerows([names, *zip(*columns, strict=True)])
    return buffer.getvalue().encode()


def as_cells(kind: pa.DataType | None, values: list[Any]) -> list[Any]:
    """An output's values, lists as the one text that they are in a file of answers; those of an id have no kind."""
    if kind is None or not pa.types.is_nested(kind):
        return values
    found: list[Any] = unnested(pa.array(values, kind)).to_pylist()
    return found


ENDPOINTS = [
    Endpoint("POST", "/v1/predict", predict, "predict", "records"),
    Endpoint("POST", f"/v1/predict/{NAME}", predict, "predict", "records", is_pattern=True),
]
