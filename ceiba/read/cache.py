"""What can be made again, in one folder: each entry named by what it was made from, all within a byte budget."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ceiba.base.errors import BundleError, CeibaError, InputError
from ceiba.base.files import MARK, files_below, remove_folder, sync_file, verify_manifest, write_folder
from ceiba.base.progress import say
from ceiba.read.content import cache_folder, trim_hashes

BUDGET_BYTES = 32 << 30
"""What may lie in one folder of the cache unless CEIBA_CACHE_BYTES says otherwise."""
ABANDONED_S = 24 * 3600.0
"""A half-built entry untouched for so long belongs to nobody."""


def budget_bytes() -> int:
    """How much may lie in one folder of the cache.

    Raises: InputError if CEIBA_CACHE_BYTES is no number of bytes.
    """
    told = os.environ.get("CEIBA_CACHE_BYTES", str(BUDGET_BYTES))
    if not told.isdecimal():
        raise InputError("CEIBA_CACHE_BYTES must be a number of bytes", repr(told), f"Use e.g. {BUDGET_BYTES}")
    return int(told)


def cached_folder(kind: str, identity: str, build: Callable[[Path], None]) -> Path:
    """The cache entry of that kind and identity, whose reader sees damage by itself; built where it is absent.

    Raises: CeibaError if the cache cannot be written.
    """
    trim_hashes()
    try:
        return built_once(cache_folder() / kind / identity, build, verified=False)
    except OSError as error:
        do = "Free space there, or set CEIBA_CACHE to another folder"
        raise CeibaError(f"{cache_folder()} must be writable", error.strerror or str(error), do) from error


def built_once(folder: Path, build: Callable[[Path], None], verified: bool = True) -> Path:
    """The entry of that name: as it lies there, else built, all or nothing.

    A `verified` entry is held against its manifest whenever it is opened, and made again if it is damaged; another is
    written so that a power loss cannot damage it. Of two builders the second waits and uses what the first one made.
    """
    if _is_there(folder, verified):
        return folder
    make_room(folder.parent, budget_bytes())
    with in_turn(folder):
        if not _is_there(folder, verified):
            with write_folder(folder, manifest=verified, durable=not verified) as temporary:
                build(temporary)
                for file in () if verified else files_below(temporary):
                    sync_file(file)
    return folder


def _is_there(folder: Path, verified: bool) -> bool:
    """Whether the entry can be used; it is then the one that was used last, and a damaged one is removed."""
    if not folder.is_dir():
        return False
    with contextlib.suppress(OSError):  # a cache that may only be read is used all the same
        os.utime(folder)
    try:
        if verified:
            verify_manifest(folder)
        return True
    except (BundleError, FileNotFoundError) as error:
        say(f"Made again, since it was damaged: {error}")
        shutil.rmtree(folder, ignore_errors=True)
        return False


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait until no other process builds this entry; the system lets go of it for a process that is gone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f"{MARK}{folder.name}.lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def make_room(root: Path, budget: int) -> None:
    """Remove what was used longest ago until the rest fits the budget, and half-built entries that nobody works on.

    A file that is mapped by a process stays readable for it after its name is gone.
    """
    if not root.is_dir():
        return
    entries = []
    for entry in root.iterdir():
        with contextlib.suppress(FileNotFoundError):
            used_s = entry.stat().st_mtime
            if entry.name.startswith(MARK):
                if time.time() - used_s > ABANDONED_S:
                    shutil.rmtree(entry, ignore_errors=True)
            elif entry.is_dir() and not entry.is_symlink():
                entries.append((used_s, entry, size_bytes(entry)))
    total = sum(size for _, _, size in entries)
    for _, entry, size in sorted(entries):
        if total <= budget:
            return
        with contextlib.suppress(OSError):
            remove_folder(entry)
        total -= size


def size_bytes(folder: Path) -> int:
    """The bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
