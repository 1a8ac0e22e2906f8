"""The application: one way for every request, from its first line to the line in the log.

route → key and rate → handler of a protocol → reply. A refusal is told in the words of the protocol that was spoken.
"""

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ceiba.base.errors import CeibaError
from ceiba.serve.exchange import Load, Receive, Reply, Request, Scope, deadline_of, error_body, reply_json
from ceiba.serve.guard import Guard
from ceiba.serve.http import answer_at_once
from ceiba.serve.metrics import Metrics
from ceiba.serve.models import Models
from ceiba.serve.refusal import Gone, Refusal
from ceiba.serve.settings import Limits

Send = Callable[[Any], Awaitable[None]]
REQUEST_ID = re.compile(rb"[0-9A-Za-z_.:-]{1,64}")
CLIENT_CLOSED = 499


@dataclass(eq=False)
class Service:
    """What handlers work with."""

    models: Models
    limits: Limits
    guard: Guard
    metrics: Metrics
    is_draining: bool = False
    load: Load = field(default_factory=lambda: Load(Limits().queue_bytes))
    reach_owner: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]] | None = None


Handler = Callable[[Request, Service, re.Match[str] | None], Awaitable[Reply]]
Told = Callable[[Refusal, str], Any]


@dataclass(frozen=True)
class Endpoint:
    """One address of a protocol. `role` is what a key must be allowed; None is open to all."""

    method: str
    path: str
    handler: Handler
    role: str | None
    protocol: str
    is_pattern: bool = False
    told: Told = error_body
    """A refusal in the protocol's words."""


class Application:
    """An ASGI application over a list of endpoints."""

    def __init__(self, service: Service, endpoints: Sequence[Endpoint], log: Callable[[dict[str, Any]], None]):
        self.service, self.log = service, log
        self.exact = {(one.method, one.path): one for one in endpoints if not one.is_pattern}
        self.patterns = [(re.compile(one.path, re.IGNORECASE), one) for one in endpoints if one.is_pattern]
        self.prefix, self.count = secrets.token_hex(4), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        service = self.service
        self.count += 1
        id = f"{self.prefix}-{self.count:x}"
        request = Request(scope, receive, id, deadline_of(scope, service.limits))
        endpoint: Endpoint | None = None
        try:
            if (given := request.headers.get(b"x-request-id")) and REQUEST_ID.fullmatch(given):
                request.id = given.decode()
            endpoint, match = self.find(scope["method"], scope["path"])
            if endpoint.role is not None:
                service.guard.admit(request, endpoint.role)
            reply = await endpoint.handler(request, service, match)
        except Refusal as refusal:
            reply = self.refused(refusal, endpoint, request)
        except Gone:
            reply = Reply(b"", CLIENT_CLOSED)
        except Exception as error:
            self.log({"event": "fault", "request_id": request.id, "fault": _fault(error)})
            message = f"The server failed to answer. Tell its operator the request id {request.id}."
            reply = self.refused(Refusal(500, message), endpoint, request)
        try:
            await self.respond(request, reply, send)
        finally:
            scope.pop("connection", None)  # which refers to the scope: only the collector would find such a pair
            self.settle(request, endpoint, reply.status, time.perf_counter() - began)

    def find(self, method: str, path: str) -> tuple[Endpoint, re.Match[str] | None]:
        """The endpoint of an address.

        Raises: Refusal for none.
        """
        endpoint = self.exact.get(("GET" if method == "HEAD" else method, path))
        if endpoint is not None:
            return endpoint, None
        allowed = {known for known, other in self.exact if other == path}
        for pattern, one in self.patterns:
            if match := pattern.fullmatch(path):
                if one.method == ("GET" if method == "HEAD" else method):
                    return one, match
                allowed.add(one.method)
        if allowed:
            known_here = tuple(sorted(allowed))
            raise Refusal(405, f"That method is not known here. Use {', '.join(known_here)}.", allowed=known_here)
        raise Refusal(404, "Nothing is served at that address. See /docs for what is.")

    def refused(self, refusal: Refusal, endpoint: Endpoint | None, request: Request) -> Reply:
        """The reply of a refusal."""
        told = endpoint.told if endpoint is not None else error_body
        reply = reply_json(told(refusal, request.id), refusal.status)
        if refusal.retry_after_s is not None:
            reply.headers.append((b"retry-after", b"%d" % refusal.retry_after_s))
        if refusal.allowed:
            reply.headers.append((b"allow", ", ".join(refusal.allowed).encode()))
        if refusal.status == 401:
            reply.headers.append((b"www-authenticate", b"Bearer"))
        if refusal.status == 413:
            reply.headers.append((b"connection", b"close"))
        self.service.metrics.refused(refusal.status)
        return reply

    async def respond(self, request: Request, reply: Reply, send: Send) -> None:
        """Send a reply; a stream that breaks off is ended, since its status has been sent."""
        if reply.status == CLIENT_CLOSED or request.is_gone():
            return
        headers = [(b"content-type", reply.content_type), (b"x-request-id", request.id.encode()), *reply.headers]
        if reply.stream is None:
            headers.append((b"content-length", b"%d" % len(reply.body)))
        if self.service.is_draining:
            headers.append((b"connection", b"close"))
        connection = request.scope.get("connection") if reply.stream is None else None
        if connection is not None and answer_at_once(connection, reply.status, headers, reply.body):
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if reply.stream is None:
            await send({"type": "http.response.body", "body": reply.body})
            return
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        async for piece in reply.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if request.is_gone():
                return
        await send({"type": "http.response.body", "body": b""})

    def settle(self, request: Request, endpoint: Endpoint | None, status: int, seconds: float) -> None:
        """Metrics, and the line in the log: who asked what of whom, never what was sent."""
        self.service.load.give_back(request.held_bytes)
        protocol = endpoint.protocol if endpoint is not None else "none"
        self.service.metrics.answered(protocol, request.model, request.version, status, seconds)
        if endpoint is not None and endpoint.role is not None:
            self.log(
                {
                    "event": "request",
                    "request_id": request.id,
                    "key": request.key.id if request.key is not None else None,
                    "protocol": protocol,
                    "model": request.model,
                    "version": request.version,
                    "rows": request.rows,
                    "status": status,
                    "ms": round(seconds * 1000, 3),
                }
            )


def _fault(error: Exception) -> str:
    """An error for the operator's log: kind, message and the last place in the source."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
    kind = "" if isinstance(error, CeibaError) else f"{type(error).__name__}: "
    return f"{kind}{error}{place}"


def plain_text(text: str) -> Reply:
    return Reply(text.encode(), content_type=b"text/plain; charset=utf-8")


def as_bytes(value: Any) -> bytes:
    return orjson.dumps(value)
