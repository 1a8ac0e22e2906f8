"""Who may ask: keys, their roles and their rates; and how often an address may try a wrong one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ceiba.serve.exchange import Request
from ceiba.serve.keys import ALLOWED, Key, find_key
from ceiba.serve.limits import SharedRates
from ceiba.serve.refusal import Refusal

BEARER = b"bearer "


@dataclass(eq=False)
class Guard:
    """The door. Without keys (None) it stands open."""

    keys: Mapping[str, Key] | None
    rates: SharedRates
    tries_per_minute: int
    counts: dict[str, float] = field(default_factory=dict)

    def admit(self, request: Request, role: str) -> None:
        """Let a request in, under its key.

        Raises: Refusal 401 without a valid key, 403 for one of another role, 429 for too many tries.
        """
        if self.keys is None:
            return
        bearer = request.headers.get(b"authorization", b"")
        is_bearer = bearer[:7].lower() == BEARER
        sent = bearer[7:].strip() if is_bearer else request.headers.get(b"x-api-key")
        key = find_key(self.keys, sent, time.time()) if sent is not None else None
        if key is None:
            self._refuse(request, sent is not None)
            return
        if role not in ALLOWED[key.role]:
            raise Refusal(403, f"The key must have the role {role}. Got {key.role}. Use another key.")
        request.key = key

    def _refuse(self, request: Request, has_sent: bool) -> None:
        client = request.scope.get("client")
        if has_sent and client is not None:
            wait_s = self.rates.take(f"try {client[0]}", 1, self.tries_per_minute)
            if wait_s:
                raise Refusal(429, "Too many requests with a wrong key. Try again later.", int(wait_s) + 1)
        raise Refusal(401, "A valid key is needed. Send it as: Authorization: Bearer KEY")

    def spend(self, request: Request, rows: int) -> None:
        """Take rows from the key's rate.

        Raises: Refusal 429 if it has none left.
        """
        key = request.key
        if key is None or key.rows_per_minute is None:
            return
        wait_s = self.rates.take(f"key {key.id}", max(rows, 1), key.rows_per_minute)
        if wait_s:
            raise Refusal(429, f"The key may ask for {key.rows_per_minute} rows a minute. Wait.", int(wait_s) + 1)
