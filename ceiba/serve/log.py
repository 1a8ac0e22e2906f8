"""The log: a line of JSON for each request, without what was sent; written behind the requests, never before them."""

import os
import time
from collections.abc import Callable
from typing import Any

import orjson

FLUSH_BYTES = 64 << 10
MOST_WAITING_BYTES = 8 << 20


class Log:
    """Lines gathered in memory and written in one go, so that a slow disk does not slow a request.

    What cannot be written (a full disk) is dropped and counted.
    """

    def __init__(self, descriptor: int | None, on_lost: Callable[[int], None]):
        self.descriptor, self.on_lost = descriptor, on_lost
        self.lines: list[bytes] = []
        self.size = 0

    def __call__(self, entry: dict[str, Any]) -> None:
        """Take a line."""
        if self.descriptor is None and entry["event"] == "request":
            return
        line = orjson.dumps({"time": round(time.time(), 3), **entry}, option=orjson.OPT_APPEND_NEWLINE)
        if self.size + len(line) > MOST_WAITING_BYTES:
            self.on_lost(1)
            return
        self.lines.append(line)
        self.size += len(line)
        if self.size > FLUSH_BYTES or entry["event"] != "request":
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if not self.lines:
            return
        lines, data = len(self.lines), b"".join(self.lines)
        self.lines, self.size = [], 0
        try:
            target = 2 if self.descriptor is None else self.descriptor
            written = os.write(target, data)
            while written < len(data):
                written += os.write(target, data[written:])
        except OSError:
            self.on_lost(lines)
