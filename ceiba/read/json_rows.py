"""JSON: an array of objects, an object of columns, one object a line (jsonl), or questions as SQuAD lays them out."""

import codecs
import json
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from ceiba.base.errors import DataError
from ceiba.read.content import content_hash
from ceiba.read.decode import Text, examine
from ceiba.read.frame import Frame, derived
from ceiba.read.rows import line_at, segments
from ceiba.read.spec import ReadSpec
from ceiba.read.spool import Settled, spooled
from ceiba.read.squad import is_squad, squad_columns
from ceiba.read.values import CHUNK_ROWS, Columns, write_values

VERSION = "json 2"
OPENING, COMMA, EMPTY = re.compile(r"\s*\[\s*"), re.compile(r"\s*,\s*"), re.compile(r"\s*\[\s*\]\s*")

Row = dict[str, Any]


def read_json(path: Path, options: ReadSpec) -> Frame:
    """A JSON file: an array of objects (streamed), an object of columns of one length, or SQuAD's articles.

    Raises: DataError with the line where it is no JSON, and for any other shape.
    """
    return _read(path, options, "json")


def read_jsonl(path: Path, options: ReadSpec) -> Frame:
    """A file with one JSON object a line; blank lines are left out.

    Raises: DataError with the line that is no JSON object.
    """
    return _read(path, options, "jsonl")


def _read(path: Path, options: ReadSpec, form: str) -> Frame:
    identity = derived(content_hash(path), VERSION, form, options.encoding or "")

    def build(target: Path) -> Settled:
        text = examine(path, options.encoding)
        start = text.sample().lstrip()[:1]
        if form == "json" and start == "{":
            columns = _object_columns(text)
            chunks = lambda: _cut(columns)  # noqa: E731
        else:
            rows = _lines if form == "jsonl" else _elements
            chunks = lambda: _gather(rows(text))  # noqa: E731
        return Settled(write_values(chunks, target, str(path)), text.notes)

    return spooled(identity, str(path), build)


def _gather(rows: Iterator[Row]) -> Iterator[Columns]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        names = dict.fromkeys(chain.from_iterable(chunk))
        yield {name: [row.get(name) for row in chunk] for name in names}


def _cut(columns: Columns) -> Iterator[Columns]:
    rows = len(next(iter(columns.values()), ()))
    for start in range(0, rows, CHUNK_ROWS):
        yield {name: values[start : start + CHUNK_ROWS] for name, values in columns.items()}


def _lines(text: Text) -> Iterator[Row]:
    for segment in segments(text, b"\t", quote=False):
        lines = segment.data.split(b"\n")
        for number, line in enumerate(lines):
            if line and not line.isspace():
                try:
                    row = _loads(line)
                except (ValueError, RecursionError) as error:
                    where = f"{text.path}:{line_at(text, segment.start) + number}"
                    raise DataError(f"{where} must be a JSON object", str(error), "Mend the line") from error
                if type(row) is not dict:
                    raise _no_object(row, text, line_at(text, segment.start) + number)
                yield row


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)  # NaN, which orjson refuses, and plainer words for what is wrong


def _no_object(row: Any, text: Text, line: int) -> DataError:
    rule = f"{text.path}:{line} must be a JSON object, one row"
    return DataError(rule, f"a {type(row).__name__}", "Write each row as {...}")


def _elements(text: Text) -> Iterator[Row]:
    """The elements of a JSON array, one after another, without holding the array."""
    scanner, letters = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")()
    held, passed, wanted, before = "", 0, 0, OPENING
    for block in chain(text.blocks(), (b"",)):
        held += letters.decode(block)
        if block and len(held) < wanted:
            continue
        found, at = [], 0
        while mark := before.match(held, at):
            try:
                row, end = scanner.raw_decode(held, mark.end())
            except (ValueError, RecursionError):
                break
            if type(row) is not dict:
                raise _no_object(row, text, line_at(text, passed + len(held[: mark.end()].encode())))
            found.append(row)
            at, before = end, COMMA
        yield from found
        passed += len(held[:at].encode())
        held, wanted = held[at:], 2 * (len(held) - at)
    empty = before is OPENING and EMPTY.fullmatch(held)
    if not (empty or (before is COMMA and held.strip() == "]")):
        raise _broken(text, held, passed, before)


def _broken(text: Text, held: str, passed: int, before: re.Pattern[str]) -> DataError:
    """What is wrong after the last whole element."""
    mark = before.match(held)
    problem, place = "no array of objects" if before is OPENING else "neither a comma nor ] after an element", 0
    if mark:
        try:
            json.JSONDecoder().raw_decode(held, mark.end())
        except json.JSONDecodeError as error:
            problem, place = error.msg, error.pos
        except RecursionError:
            problem = "too deep a nesting"
    where = f"{text.path}:{line_at(text, passed + len(held[:place].encode()))}"
    return DataError(f"{where} must be JSON, an array of objects", problem, "Mend the file there")


def _object_columns(text: Text) -> Columns:
    """An object of columns; pandas' form, where a column is an object of row labels, is one too, and so is SQuAD's."""
    try:
        found = _loads(b"".join(text.blocks()))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise DataError(
            f"{text.path}:{line} must be JSON", getattr(error, "msg", str(error)), "Mend the file there"
        ) from error
    if is_squad(found):
        return squad_columns(found, str(text.path))
    columns = {name: list(values.values()) if isinstance(values, dict) else values for name, values in found.items()}
    for name, values in columns.items():
        if not isinstance(values, list):
            got = f"a {type(values).__name__} under '{name}'"
            raise DataError(f"{text.path} must be an array of objects or an object of columns", got, "Write it as rows")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        got = f"{lengths[short]} in '{short}' and {lengths[long]} in '{long}'"
        raise DataError(f"{text.path} must have columns of one length", got, "Write null for a missing value")
    return columns
