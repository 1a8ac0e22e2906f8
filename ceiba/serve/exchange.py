"""One request and its reply, as every protocol sees them."""

import asyncio
import re
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import orjson

from ceiba.serve.http import whole_body
from ceiba.serve.keys import Key
from ceiba.serve.refusal import Gone, Refusal
from ceiba.serve.settings import Limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
OPENED = np.zeros(256, np.int8)
OPENED[[ord("["), ord("{")]] = 1
OPENED[[ord("]"), ord("}")]] = -1
JSON = b"application/json"
QUERY_FIELDS = 20
KEEP_DISCARDING = 4
"""A body of up to so many times its limit is read to its end, so that its sender can read the refusal."""


@dataclass(slots=True)
class Reply:
    """What is sent back."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    stream: AsyncIterator[bytes] | None = None
    """Sent after the body, piece by piece."""


class Request:
    """One request, whose body is read under limits when it is asked for."""

    def __init__(self, scope: Scope, receive: Receive, id: str, deadline: float):
        self.scope, self.receive, self.id, self.deadline = scope, receive, id, deadline
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.key: Key | None = None
        self.model, self.version, self.rows = "", 0, 0
        self.held_bytes = 0

    @property
    def query(self) -> dict[str, str]:
        """Raises: Refusal for a query of more than QUERY_FIELDS names."""
        text = self.scope["query_string"].decode("ascii", "replace")
        if not text:
            return {}
        try:
            return {name: values[-1] for name, values in parse_qs(text, max_num_fields=QUERY_FIELDS).items()}
        except ValueError as error:
            raise Refusal(
                400, f"The query must have at most {QUERY_FIELDS} names. Got more. Leave some out."
            ) from error

    def is_gone(self) -> bool:
        """Whether the client has left."""
        connection = self.scope.get("connection")
        return connection is not None and bool(connection.disconnected)

    async def body(self, load: "Load", limits: Limits) -> bytes:
        """The whole body, inflated; it counts as load until the request is settled.

        Raises: Refusal for one that is too large or packed in an unknown way, or more than the server can hold; Gone
        if the client leaves.
        """
        declared = self.headers.get(b"content-length")
        most = limits.body_bytes
        if declared is not None and int(declared) > KEEP_DISCARDING * most:
            raise _too_large(most)
        self.held_bytes = most if declared is None else min(int(declared), most)
        load.take(self.held_bytes)
        connection = self.scope.get("connection")
        whole = whole_body(connection) if connection is not None else None
        if whole is None:
            body, is_all = await self._piece()
            if not is_all:
                body = await self._rest(body, most)
        else:
            body = whole
        if len(body) > most:
            raise _too_large(most)
        packing = self.headers.get(b"content-encoding")
        return body if packing is None or packing == b"identity" else inflate(body, packing, limits)

    async def _piece(self) -> tuple[bytes, bool]:
        """What has come of the body since, and whether that is its end."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise Gone
        return message["body"], not message["more_body"]

    async def _rest(self, first: bytes, most: int) -> bytes:
        parts, size, is_all = [first], len(first), False
        while not is_all:
            piece, is_all = await self._piece()
            size += len(piece)
            if size > most:
                parts.clear()
                if size > KEEP_DISCARDING * most:
                    raise _too_large(most)
            else:
                parts.append(piece)
        if size > most:
            raise _too_large(most)
        return b"".join(parts)


@dataclass(slots=True)
class Load:
    """Bytes of bodies in work, held against what the server may hold."""

    most_bytes: int
    held_bytes: int = 0

    def take(self, size: int) -> None:
        """Raises: Refusal if it would be too much; what was taken must be given back either way."""
        self.held_bytes += size
        if self.held_bytes > self.most_bytes and self.held_bytes > size:
            raise Refusal(503, "Too many bodies are in work. Try again later.", 1)

    def give_back(self, size: int) -> None:
        self.held_bytes -= size


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"The body must have at most {most} bytes. Got more. Send fewer rows at a time.")


def inflate(body: bytes, packing: bytes, limits: Limits) -> bytes:
    """A body packed once with gzip or deflate.

    Raises: Refusal for another packing, damaged bytes, or more bytes than are allowed.
    """
    if packing not in (b"gzip", b"deflate"):
        raise Refusal(415, "The body's Content-Encoding must be gzip or deflate. Got another. Send it as it is.")
    most = min(limits.body_bytes, max(len(body), 1024) * limits.inflate_ratio)
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        found = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise Refusal(400, "The body must be packed as its Content-Encoding says. Got damaged bytes.") from error
    if len(found) > most:
        raise _too_large(most)
    if not inflater.eof or inflater.unused_data:
        raise Refusal(400, "The body must be packed as its Content-Encoding says. Got damaged bytes.")
    return found


def parse_json(body: bytes, limits: Limits) -> Any:
    """JSON as the standard has it.

    Raises: Refusal for what is no JSON, nests too deep, or names a key twice.
    """
    check_depth(body, limits.depth)
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise Refusal(400, f"The body must be JSON. Got a fault near byte {getattr(error, 'pos', 0)}.") from error
    return value


def check_depth(body: bytes, depth: int) -> None:
    """Raises: Refusal for JSON that nests too deep; looked for before anything is built of it."""
    if body.count(b"[") + body.count(b"{") <= depth:
        return
    if _depth(body) > depth and _depth(STRINGS.sub(b"", body)) > depth:
        raise Refusal(400, f"The body must not nest deeper than {depth} levels. Got more.")


def _depth(body: bytes) -> int:
    return int(np.cumsum(OPENED[np.frombuffer(body, np.uint8)], dtype=np.int64).max(initial=0))


def deadline_of(scope: Scope, limits: Limits) -> float:
    """When a request's time is over, counted from its first byte."""
    began: float | None = scope.get("began")
    now = time.monotonic()
    spent = 0.0 if began is None else max(asyncio.get_running_loop().time() - began, 0.0)
    return now - spent + limits.request_s


def reply_json(value: Any, status: int = 200) -> Reply:
    """A value as JSON; NaN is null."""
    return Reply(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS, default=str), status)


def error_body(refusal: Refusal, id: str) -> Mapping[str, Any]:
    """What Ceiba's own protocol says of an error."""
    return {"error": refusal.message, "request_id": id}
