"""The hash of a file's content, remembered while the file is unchanged."""

import hashlib
import json
import os
import time
from pathlib import Path

from ceiba.base.errors import DataError
from ceiba.base.files import digest, write_bytes

RACE_S = 2.0
"""A file changed this shortly before it was hashed may change again within the clock's step: not remembered."""


def cache_folder() -> Path:
    """Where Ceiba keeps what it can make again: CEIBA_CACHE, else the user's cache folder."""
    named = os.environ.get("CEIBA_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(home) / "ceiba"


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def content_hash(path: Path) -> str:
    """SHA-256 of a file, taken from memory while its size, times and number are unchanged.

    Raises: DataError if the file changes while it is read.
    """
    place = str(path.resolve())
    memory = cache_folder() / "hashes" / hashlib.sha256(place.encode()).hexdigest()[:32]
    stamp = _stamp(path)
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known["path"] == place and known["stamp"] == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered, or another version's memory: hash it
    now_s = time.time()
    found = digest(path)
    if _stamp(path) != stamp:
        raise DataError(
            f"{path} must not change while it is read", "another size or time", "Run again when it is complete"
        )
    if max(stamp[1], stamp[2]) / 1e9 < now_s - RACE_S:
        write_bytes(memory, json.dumps({"path": place, "stamp": stamp, "sha256": found}).encode())
    return found
