"""API keys: kept as hashes, with a role, an expiry and a rate; the key itself is shown once, when it is made."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ceiba.base.errors import InputError, nearest
from ceiba.base.files import write_bytes

Role = Literal["predict", "explain", "admin"]
ROLES: tuple[str, ...] = get_args(Role)
ALLOWED = {"predict": {"predict"}, "explain": {"predict", "explain"}, "admin": {"predict", "explain", "admin"}}
"""Role of a key → what it may ask for."""
PREFIX = "ceiba"
SECRET_BYTES = 32
MOST_FILE_BYTES = 16 << 20


@dataclass(frozen=True)
class Key:
    """What is kept of a key."""

    id: str
    hash: str
    """SHA-256 of the secret, which is random and long: no slower hash is needed. In hexadecimal digits."""
    role: Role
    created: float
    """Seconds since 1970."""
    expires: float | None = None
    """Seconds since 1970; None for never."""
    revoked: float | None = None
    """When it was revoked, in seconds since 1970."""
    rows_per_minute: int | None = None
    """Rows that it may ask for; a request without rows counts as one. None: as many as the server can."""
    note: str = ""

    def state(self, now: float) -> str:
        """Whether it opens anything now."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


def make_key(
    role: Role = "predict", days: float | None = None, rows_per_minute: int | None = None, note: str = ""
) -> tuple[Key, str]:
    """A new key, and the text that a client sends; the text is kept nowhere."""
    id, secret, now = secrets.token_hex(4), secrets.token_urlsafe(SECRET_BYTES), time.time()
    expires = None if days is None else now + days * 86_400
    return Key(id, _hash(secret.encode()), role, now, expires, None, rows_per_minute, note), f"{PREFIX}_{id}_{secret}"


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def find_key(keys: Mapping[str, Key], sent: bytes, now: float) -> Key | None:
    """The valid key that a client sent; None for any other bytes."""
    prefix, _, rest = sent.partition(b"_")
    id, _, secret = rest.partition(b"_")
    key = keys.get(id.decode("ascii", "replace")) if prefix == PREFIX.encode() else None
    expected = key.hash if key is not None else "0" * 64  # the same work for an id that is unknown
    is_equal = hmac.compare_digest(_hash(secret), expected)
    return key if key is not None and is_equal and key.state(now) == "valid" else None


def read_keys(path: Path) -> dict[str, Key]:
    """The keys of a file, by id.

    Raises: InputError if there is no such file or it is no file of keys.
    """
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise ValueError("too large")
        entries = json.loads(path.read_text(encoding="utf-8"))
        keys = [Key(**entry) for entry in entries]
        for key in keys:
            _check(key)
    except FileNotFoundError as error:
        raise InputError(f"{path} must be a file of keys", "nothing of that name", "Run: ceiba keys create") from error
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} must be a file of keys as ceiba keys writes it", "something else", "Restore it"
        ) from error
    return {key.id: key for key in keys}


def _check(key: Key) -> None:
    times: tuple[Any, ...] = (key.created, key.expires, key.revoked, key.rows_per_minute)
    if not isinstance(key.id, str) or not isinstance(key.hash, str) or len(key.hash) != 64 or key.role not in ROLES:
        raise ValueError("no key")
    if any(one is not None and not isinstance(one, int | float) for one in times):
        raise TypeError("no key")


def write_keys(path: Path, keys: Mapping[str, Key]) -> None:
    """Write a file of keys, all or nothing, for its owner alone."""
    write_bytes(path, (json.dumps([asdict(key) for key in keys.values()], indent=1) + "\n").encode())
    path.chmod(0o600)


def add_key(path: Path, key: Key) -> None:
    """Add a key to a file, which is made if it is absent."""
    keys = read_keys(path) if path.exists() else {}
    write_keys(path, keys | {key.id: key})


def revoke_key(path: Path, id: str) -> Key:
    """Revoke a key.

    Raises: InputError for an id that the file does not hold.
    """
    keys = read_keys(path)
    if id not in keys:
        raise InputError(f"{path} must hold the key", f"'{id}'", nearest(id, keys))
    keys[id] = replace(keys[id], revoked=keys[id].revoked or time.time())
    write_keys(path, keys)
    return keys[id]


class KeysInUse:
    """The keys of a server: those of a file, which is read again when it changes; one made for this run; or none."""

    def __init__(self, path: Path | None, is_open: bool):
        """Raises: InputError for a file that holds no keys."""
        self.path = None if is_open else path
        self.shown: str | None = None
        """The key that was made for this run."""
        self.seen = self._mark()
        self.keys: dict[str, Key] | None = None
        if self.path is not None:
            self.keys = read_keys(self.path)
        elif not is_open:
            key, self.shown = make_key("admin", note="made for this run")
            self.keys = {key.id: key}

    def look(self) -> bool:
        """Whether the file has changed; then it has been read.

        Raises: InputError for a file that holds no keys any more; those that were read before stay.
        """
        mark = self._mark()
        if self.path is None or mark == self.seen:
            return False
        self.seen = mark
        self.keys = read_keys(self.path)
        return True

    def plain(self) -> list[dict[str, Any]] | None:
        """For the workers; None: anybody may ask."""
        return None if self.keys is None else [asdict(key) for key in self.keys.values()]

    def _mark(self) -> object:
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
