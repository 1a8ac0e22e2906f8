"""What stands on the wire of one connection."""

import asyncio
import gc
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from serving import Server
from uvicorn.server import ServerState

from ceiba.serve.app import Application, Endpoint
from ceiba.serve.exchange import Load, Reply
from ceiba.serve.http import Guarded, answer_at_once, config, whole_body
from ceiba.serve.settings import Limits

ROW = b'{"area": 2.0, "city": "Rome"}'
POST = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n" + ROW
WAIT_S = 5.0


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
        yield connection


def responses(connection: socket.socket, count: int, bodies: bool = True) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of so many responses, and nothing behind them."""
    data, found = b"", []
    while len(found) < count:
        head, end, rest = data.partition(b"\r\n\r\n")
        length = int(match[1]) if bodies and (match := re.search(rb"content-length: (\d+)", head)) else 0
        if end and len(rest) >= length:
            found.append((head, rest[:length]))
            data = rest[length:]
        else:
            piece = connection.recv(1 << 16)
            assert piece, data
            data += piece
    assert not data
    return found


def test_requests_behind_one_another_are_answered_in_their_order(home: Server) -> None:
    with connected(home) as connection:
        bodies = [b'{"area": %d, "city": "Rome"}' % area for area in range(1, 9)]
        head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(b"".join(head % len(body) + body for body in bodies))
        found = responses(connection, len(bodies))
    prices = [float(re.search(rb'"price":([\d.]+)', body)[1]) for _, body in found]  # type: ignore[index]
    assert [one - prices[0] for one in prices] == list(range(8))
    assert not any(b"connection: close" in head for head, _ in found)


def test_the_answer_to_head_has_no_body(home: Server) -> None:
    with connected(home) as connection:
        connection.sendall(b"HEAD /docs HTTP/1.1\r\nHost: a\r\n\r\n")
        ((head, _),) = responses(connection, 1, bodies=False)
        assert head.startswith(b"HTTP/1.1 200")
        assert re.search(rb"content-length: [1-9]", head)
        connection.sendall(POST % (len(ROW), b""))
        ((head, body),) = responses(connection, 1)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"price" in body


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_client_that_wants_no_more_is_let_go(home: Server, version: bytes) -> None:
    last = b"" if version == b"HTTP/1.0" else b"Connection: close\r\n"
    with connected(home) as connection:
        connection.sendall((POST % (len(ROW), last)).replace(b"HTTP/1.1", version))
        ((head, body),) = responses(connection, 1)
        assert head.count(b"connection: close") == 1
        assert b"price" in body
        assert connection.recv(1) == b""


def test_a_body_that_waits_for_leave_gets_it(home: Server) -> None:
    with connected(home) as connection:
        connection.sendall((POST % (len(ROW), b"Expect: 100-continue\r\n")).removesuffix(ROW))
        ((head, _),) = responses(connection, 1)
        assert head == b"HTTP/1.1 100 Continue"
        connection.sendall(ROW)
        ((head, body),) = responses(connection, 1)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"price" in body


@pytest.mark.parametrize("state", ["paused", "begun", "gone"])
def test_when_a_response_is_not_sent_at_once(state: str) -> None:
    written: list[bytes] = []
    cycle: Any = SimpleNamespace(
        flow=SimpleNamespace(write_paused=state == "paused"), response_started=state == "begun",
        disconnected=state == "gone", keep_alive=True, scope={"method": "GET"}, message_event=asyncio.Event(),
        transport=SimpleNamespace(write=written.append), on_response=lambda: None,
    )  # fmt: skip
    assert answer_at_once(cast(Any, cycle), 200, [(b"content-length", b"1")], b"a") == (state == "gone")
    assert not written


def test_a_body_that_comes_in_pieces(home: Server) -> None:
    with connected(home) as connection:
        connection.sendall((POST % (len(ROW), b"")).removesuffix(ROW))
        for place in range(0, len(ROW), 9):
            time.sleep(0.02)
            connection.sendall(ROW[place : place + 9])
        ((head, body),) = responses(connection, 1)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"price" in body


@pytest.mark.parametrize("state", ["whole", "more_body", "disconnected", "waiting_for_100_continue"])
def test_when_a_body_is_taken_at_once(state: str) -> None:
    resumed: list[bool] = []
    cycle: Any = SimpleNamespace(
        more_body=False, disconnected=False, waiting_for_100_continue=False, body=bytearray(b"row"),
        flow=SimpleNamespace(resume_reading=lambda: resumed.append(True)),
    )  # fmt: skip
    setattr(cycle, state, True)
    assert whole_body(cycle) == (b"row" if state == "whole" else None)
    assert bool(resumed) == (state == "whole")


def test_requests_leave_nothing_for_the_collector() -> None:
    asked, written = 100, []

    async def echo(request: Any, service: Any, match: Any) -> Reply:
        return Reply(await request.body(service.load, service.limits))

    async def ask() -> int:
        service: Any = SimpleNamespace(
            limits=Limits(), load=Load(1 << 20), is_draining=False,
            metrics=SimpleNamespace(answered=lambda *counted: None),
        )  # fmt: skip
        settings = config(Application(service, [Endpoint("POST", "/v1/predict", echo, None, "records")], print), {})
        settings.load()
        protocol = Guarded(settings, ServerState(), {})
        protocol.connection_made(
            cast(Any, SimpleNamespace(
                write=written.append, is_closing=lambda: False, get_extra_info=lambda name, default=None: default,
                pause_reading=lambda: None, resume_reading=lambda: None,
            ))
        )  # fmt: skip
        gc.collect()
        gc.disable()
        for place in range(asked):
            protocol.data_received(POST % (len(ROW), b""))
            while len(written) <= place:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        return gc.collect()

    try:
        found = asyncio.run(ask())
    finally:
        gc.enable()
    assert len(written) == asked
    assert all(one.startswith(b"HTTP/1.1 200") and one.endswith(ROW) for one in written)
    assert found < asked
