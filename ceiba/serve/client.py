"""A client of a server of Ceiba's, with the standard library alone."""

import base64
import http.client
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, overload
from urllib.parse import quote, urlencode, urlsplit

from ceiba.base.errors import CeibaError, InputError

BUSY = 503
LONGEST_PAUSE_S = 10.0

Row = Mapping[str, Any]
Answer = dict[str, Any]


class Client:
    """Asks one server over one connection that stays open; one thread at a time.

    `retries` is how often a request is sent again when the server is busy or the connection broke.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 2,
        context: ssl.SSLContext | None = None,
    ):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise InputError("url must be that of a server", f"'{url}'", "Write for example http://127.0.0.1:8000")
        self._prefix, self.retries = parts.path.rstrip("/"), retries
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        if parts.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)

    @overload
    def predict(
        self, rows: Row, model: str | None = None, version: int | None = None, label: str | None = None
    ) -> Answer: ...
    @overload
    def predict(
        self, rows: Sequence[Row], model: str | None = None, version: int | None = None, label: str | None = None
    ) -> list[Answer]: ...
    def predict(
        self, rows: Row | Sequence[Row], model: str | None = None, version: int | None = None, label: str | None = None
    ) -> Answer | list[Answer]:
        """The answer of a row, or those of a list of rows; bytes (an image's file) are sent as base64.

        Raises: InputError for rows, a model or a key that the server refuses; CeibaError if it cannot answer.
        """
        wanted = {name: value for name, value in (("version", version), ("label", label)) if value is not None}
        path = (
            "/v1/predict" + (f"/{quote(model, safe='')}" if model else "") + (f"?{urlencode(wanted)}" if wanted else "")
        )
        found: Answer | list[Answer] = self._ask("POST", path, json.dumps(rows, default=_plain).encode())
        return found

    def is_ready(self) -> bool:
        """Whether the server is there and ready."""
        try:
            self._ask("GET", "/ready")
        except CeibaError:
            return False
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        for left in range(self.retries, -1, -1):
            try:
                self._connection.request(method, self._prefix + path, body, self._headers)
                reply = self._connection.getresponse()
                data = reply.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if left:
                    continue
                where = f"{self._connection.host}:{self._connection.port}"
                raise CeibaError(f"{where} must answer", type(error).__name__, "Start the server") from error
            if reply.status == BUSY and left:
                time.sleep(min(float(reply.headers.get("Retry-After", 1)), LONGEST_PAUSE_S))
                continue
            return _checked(reply.status, data)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise InputError("a row must hold plain values", type(value).__name__, "Make it a number, a text, bytes or a list")


def _checked(status: int, data: bytes) -> Any:
    try:
        value = json.loads(data)
    except ValueError:
        value = {}
    if status < 400:
        return value
    told = value.get("error") if isinstance(value, dict) else None
    message = str(told) if told is not None else f"the server answered with {status}"
    raise (InputError if status < 500 else CeibaError)(message)
