"""Clients that are slow, greedy or broken, over raw sockets: closed in time, while nobody else waits."""

import gzip
import json
import socket
import time
from pathlib import Path

import pytest
from serving import Serve, Server

ROW = json.dumps({"area": 1.5, "city": "Rome"}).encode()
LIMITS = (
    "header_s=0.6",
    "body_s=0.6",
    "idle_s=1",
    "stall_s=1",
    "body_bytes=20000",
    "header_bytes=4096",
    "connections_per_address=40",
)


@pytest.fixture(scope="module")
def strict(serve: Serve, bundles: dict[str, Path]) -> Server:
    """A server with short limits."""
    return serve(bundles["table"], "--open", *(word for limit in LIMITS for word in ("--limit", limit)))


def dial(server: Server) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=10)


def heard(one: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    try:
        while data := one.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"", None),
        (b"POST /v1/pre", 408),
        (b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n{", 408),
    ],
)
def test_a_slow_client_is_closed_and_others_do_not_wait(strict: Server, start: bytes, code: int | None) -> None:
    with dial(strict) as one:
        one.sendall(start)
        began = time.monotonic()
        one.settimeout(0.2)
        reply = b""
        while time.monotonic() - began < 8:
            try:
                if start:
                    one.sendall(b"a")
                    assert strict.post("/v1/predict", ROW)[0] == 200
                data = one.recv(4096)
                if not data:
                    break
                reply += data
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - began < 4
        if code is not None:
            assert status(reply) == code


def test_an_idle_connection_is_closed(strict: Server) -> None:
    with dial(strict) as one:
        one.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
        began = time.monotonic()
        assert status(heard(one)) == 200
        assert 0.8 < time.monotonic() - began < 4


HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
FAULTS = {
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n[] ",
    "length and chunked": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length is no number": HEAD + b"Content-Length: 3x\r\n\r\n[] ",
    "chunk is no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a line end in a header": HEAD + b"X-Request-Id: a\nb c\r\n\r\n",
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_http_is_400(strict: Server, name: str) -> None:
    with dial(strict) as one:
        one.sendall(FAULTS[name])
        reply = heard(one)
    assert status(reply) == 400, reply
    assert b"Traceback" not in reply


def test_a_length_that_is_too_small_does_not_move_bytes_into_the_next_request(strict: Server) -> None:
    with dial(strict) as one:
        one.sendall(HEAD + b"Content-Length: 5\r\n\r\n" + ROW)
        reply = heard(one)
    assert {int(part.split(b" ", 1)[0]) for part in reply.split(b"HTTP/1.1 ")[1:]} == {400}


def test_headers_and_bodies_over_the_limit(strict: Server) -> None:
    with dial(strict) as one:
        one.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 8000 + b"\r\n\r\n")
        assert status(heard(one)) == 431
    with dial(strict) as one:
        one.sendall(
            b"GET /live HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % place for place in range(150)) + b"\r\n"
        )
        assert status(heard(one)) == 431
    assert strict.post("/v1/predict", b"[" + b" " * 30_000 + b"]")[0] == 413
    with dial(strict) as one:
        one.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(200):
                one.sendall(b"800\r\n" + b" " * 2048 + b"\r\n")
        except OSError:
            pass
        assert status(heard(one)) == 413
    with dial(strict) as one:
        one.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        assert status(heard(one)) == 413
    assert strict.post("/v1/predict", gzip.compress(b" " * 1_000_000), {"Content-Encoding": "gzip"})[0] == 413
    assert strict.post("/v1/predict", ROW)[0] == 200


def test_an_address_may_open_so_many_connections(strict: Server) -> None:
    opened = [dial(strict) for _ in range(60)]
    try:
        time.sleep(0.3)
        refused = 0
        for one in opened:
            one.setblocking(False)
            try:
                refused += status(one.recv(4096)) == 503
            except BlockingIOError:
                continue
        assert 15 <= refused <= 25
    finally:
        for one in opened:
            one.close()
    time.sleep(0.2)
    assert strict.post("/v1/predict", ROW)[0] == 200


def test_a_client_that_leaves_costs_nothing(strict: Server) -> None:
    for size in (10, len(HEAD) + 20, 0):
        for _ in range(20):
            with dial(strict) as one:
                one.sendall((HEAD + b"Content-Length: %d\r\n\r\n" % len(ROW) + ROW)[: size or None])
    time.sleep(1.2)
    text = strict.request("GET", "/metrics")[2].decode()
    assert float(text.split("\nceiba_connections ")[1].split("\n")[0]) <= 2
    assert strict.post("/v1/predict", ROW)[0] == 200


def test_random_bytes_break_nothing(strict: Server) -> None:
    import random

    source = random.Random(0)
    for _ in range(150):
        with dial(strict) as one:
            head = source.choice([b"", HEAD, HEAD + b"Content-Length: 30\r\n\r\n", b"GET / HTTP/1.1\r\n"])
            one.sendall(head + source.randbytes(source.randrange(1, 400)))
            if source.random() < 0.5:
                one.shutdown(socket.SHUT_WR)
            one.settimeout(0.01)
            try:
                one.recv(100)
            except OSError:
                continue
    assert strict.post("/v1/predict", ROW)[0] == 200
    assert strict.process.poll() is None
