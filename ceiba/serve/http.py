"""One connection: uvicorn's HTTP protocol, with what it lacks against slow and greedy clients.

Bytes and deadlines are held while a request is read, before any of it reaches the application. Deadlines are looked
after by one sweep over all connections, so that a request costs no timer.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import orjson
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ceiba.serve.settings import Limits

SWEEP_S = 0.25


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol under limits."""

    limits = Limits()
    addresses: ClassVar[Counter[str]] = Counter()
    """Open connections by address."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.began = self.moved = self.loop.time()
        self.is_idle, self.in_headers, self.header_bytes, self.body_bytes, self.sent = True, False, 0, 0, 0
        self.address = str(self.client[0]) if self.client else ""
        self.addresses[self.address] += 1
        is_full = len(self.connections) > self.limits.connections
        if is_full or self.addresses[self.address] > self.limits.connections_per_address:
            self.refuse(503, "Too many connections. Try again later.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.addresses[self.address] -= 1
        if not self.addresses[self.address]:
            del self.addresses[self.address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        if self.is_idle:
            self.is_idle, self.in_headers, self.header_bytes = False, True, 0
            self.began = self.loop.time()
        if self.in_headers:
            self.header_bytes += len(data)
        super().data_received(data)
        if self.in_headers and self.header_bytes > self.limits.header_bytes:
            self.refuse(431, "The headers are too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_headers = True
        self.body_bytes = 0

    def on_headers_complete(self) -> None:
        self.in_headers = False
        limits = self.limits
        if self.header_bytes > limits.header_bytes or len(self.headers) > limits.headers:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > limits.header_bytes or len(self.headers) > limits.headers:
                self.refuse(431, "The headers are too large.")
                return
        super().on_headers_complete()
        self.scope["connection"] = self.cycle  # type: ignore[typeddict-unknown-key]
        self.scope["began"] = self.began  # type: ignore[typeddict-unknown-key]

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.transport.is_closing():
            return
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn's own sets a timer for each response; here the sweep looks after connections that are idle."""
        self.is_idle = True
        self.moved = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def resume_writing(self) -> None:
        super().resume_writing()
        self.moved = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all."""
        self.refuse(400, "The request must be valid HTTP.")

    def refuse(self, status: int, message: str) -> None:
        """Answer, if nothing has been answered yet, and close."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = orjson.dumps({"error": message})
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def sweep(self, now: float) -> None:
        """Close what has taken too long."""
        limits, cycle = self.limits, self.cycle
        if self.transport.is_closing():
            return
        if self.is_idle:
            if now - self.moved > (limits.idle_s if cycle is not None else limits.header_s):
                self.transport.close()
        elif self.in_headers:
            if now - self.began > limits.header_s:
                self.refuse(408, "The headers took too long.")
        elif cycle is not None and not cycle.response_complete:
            if cycle.more_body and now - self.began > limits.body_s + self.body_bytes / limits.body_rate:
                self.refuse(408, "The body took too long.")
            elif self.flow.write_paused and now - self.moved > limits.stall_s:
                self.transport.abort()
            elif not self.flow.write_paused:
                self.moved = now


def whole_body(cycle: RequestResponseCycle) -> bytes | None:
    """The body of a request that has arrived whole, without the turn through messages; None if some is to come."""
    if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    cycle.flow.resume_reading()  # or nobody would notice that the client leaves
    body, cycle.body = bytes(cycle.body), bytearray()
    return body


def answer_at_once(
    cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> bool:
    """Send a whole response in one write; uvicorn's own way takes two, and searches each header for what no header of
    ours holds. False if the client does not read what was sent before: then that way waits for it."""
    if cycle.flow.write_paused or cycle.response_started:
        return False
    if cycle.disconnected:
        return True
    closes = (b"connection", b"close")
    if closes in headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        headers = [*headers, closes]
    head = b"".join([b"%s: %s\r\n" % header for header in headers])
    is_bare = cycle.scope["method"] == "HEAD"
    cycle.transport.write(STATUS_LINE[status] + head + b"\r\n" + (b"" if is_bare else body))
    cycle.waiting_for_100_continue = False
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def sweep(state: ServerState, now: float) -> None:
    """Look after every connection."""
    for connection in list(state.connections):
        if isinstance(connection, Guarded):
            connection.sweep(now)


def config(app: Any, ssl: dict[str, Any]) -> Config:
    """uvicorn's settings: its own logs, signals and banner are left out."""
    return Config(
        app,
        http=Guarded,
        ws="none",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=3600,
        backlog=4096,
        log_level="error",  # a line for every request that is no HTTP would let anybody fill a log
        **ssl,
    )
