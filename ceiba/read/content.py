"""The hash of a file's content, remembered while the file is unchanged."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ceiba.base.errors import DataError
from ceiba.base.files import digest, write_bytes

RACE_S = 2.0
"""A file changed this shortly before it was hashed may change again within the clock's step: not remembered."""
MOST_HASHES = 20_000
"""Files whose hash is remembered."""


def cache_folder() -> Path:
    """Where Ceiba keeps what it can make again: CEIBA_CACHE, else the user's cache folder."""
    named = os.environ.get("CEIBA_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(home) / "ceiba"


def stamp(path: Path) -> list[int]:
    """What changes when a file does: size, times, number on the disk."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def content_hash(path: Path, meanwhile: Callable[[], object] | None = None) -> str:
    """SHA-256 of a file, taken from memory while its size, times and number are unchanged.

    Where it must be computed, `meanwhile` runs beside it.

    Raises: DataError if the file changes while it is read; what `meanwhile` raises.
    """

    def compute() -> str:
        if meanwhile is None:
            return digest(path)
        with ThreadPoolExecutor(1, thread_name_prefix="ceiba-hash") as pool:
            found = pool.submit(digest, path)
            meanwhile()
            return found.result()

    try:
        return remembered(path, lambda: stamp(path), compute)
    except OSError as error:
        raise DataError(f"{path} must be readable", error.strerror or str(error), "Check the file") from error


def watch(path: Path) -> Callable[[], None]:
    """A check that a file read in place is still the one that was hashed; it raises DataError if not."""
    before = stamp(path)

    def check() -> None:
        if not path.exists() or stamp(path) != before:
            raise DataError(
                f"{path} must not change while it is used", "another size or time", "Run again from the start"
            )

    return check


def remembered(path: Path, stamps: Callable[[], list[int]], compute: Callable[[], str]) -> str:
    """A hash of what lies at a path, computed again only when its stamps changed. The first four stamps are a file's.

    Raises: DataError if the stamps change during the computation.
    """
    place = str(path.resolve())
    memory = cache_folder() / "hashes" / hashlib.sha256(place.encode()).hexdigest()[:32]
    before, now_s = stamps(), time.time()
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known["path"] == place and known["stamps"] == before:
            return str(known["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing remembered, or another version's memory: compute it
    found = compute()
    if stamps() != before:
        raise DataError(
            f"{path} must not change while it is read", "another size or time", "Run again when it is whole"
        )
    if max(before[1:3]) / 1e9 < now_s - RACE_S:
        with contextlib.suppress(OSError):  # what cannot be remembered is computed again
            write_bytes(memory, json.dumps({"path": place, "stamps": before, "hash": found}).encode())
    return found


def trim_hashes() -> None:
    """Forget the older half of what is remembered once it is very many."""
    kept = sorted((cache_folder() / "hashes").glob("*"), key=lambda path: path.stat().st_mtime)
    for path in kept[: len(kept) // 2] if len(kept) > MOST_HASHES else ():
        path.unlink(missing_ok=True)
