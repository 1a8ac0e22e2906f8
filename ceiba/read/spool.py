"""The spool: what was settled once is kept as an Arrow file, memory-mapped afterwards; a bounded cache, safe to delete."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ceiba.base.errors import InputError
from ceiba.base.files import MARK, sync_file, write_folder
from ceiba.read.content import cache_folder
from ceiba.read.frame import Frame

MOST_BYTES = 16 << 30
"""Bytes of all spools together; the least recently used go first."""
STALE_S = 24 * 3600.0
"""An unfinished entry this old was left by a process that died."""
TABLE, ENTRY = "table.arrow", "entry.json"


@dataclass(frozen=True)
class Settled:
    """What a build wrote: how many rows, and what to tell the user."""

    num_rows: int
    notes: tuple[str, ...]


Build = Callable[[Path], Settled]
"""Writes an Arrow file at the path it is given."""


def spooled(identity: str, origin: str, build: Build) -> Frame:
    """The frame over the spool of that identity, built if it is absent or damaged. Of two builders one wins."""
    folder = cache_folder() / "spools" / identity
    frame = _open(folder, identity, origin)
    if frame is None:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(InputError) if folder.exists() else contextlib.nullcontext():
            _build(folder, build)
        frame = _open(folder, identity, origin)
        _trim(folder)
    if frame is None:
        raise InputError(
            f"{folder} must be writable", "an entry that cannot be read back", "Set CEIBA_CACHE to another folder"
        )
    return frame


def _build(folder: Path, build: Build) -> None:
    try:
        with write_folder(folder, manifest=False) as temporary:
            settled = build(temporary / TABLE)
            size_bytes = (temporary / TABLE).stat().st_size
            entry = {"num_rows": settled.num_rows, "size_bytes": size_bytes, "notes": settled.notes}
            (temporary / ENTRY).write_text(json.dumps(entry), encoding="utf-8")
            sync_file(temporary / TABLE)
            sync_file(temporary / ENTRY)
    except OSError:
        if not (folder / ENTRY).exists():  # else another process was faster, and its entry is as good
            raise


def _open(folder: Path, identity: str, origin: str) -> Frame | None:
    try:
        entry = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        if (folder / TABLE).stat().st_size != entry["size_bytes"]:
            return None
        # mapped once and held: the pages stay readable if another process clears the cache
        reader = pa.ipc.open_file(pa.memory_map(str(folder / TABLE)))
        os.utime(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        for place in range(reader.num_record_batches):
            batch = reader.get_batch(place)
            yield batch if columns is None else batch.select(list(columns))

    return Frame(reader.schema, origin, identity, int(entry["num_rows"]), source, tuple(entry["notes"]))


def _trim(newest: Path) -> None:
    """Remove what died unfinished, and the least recently used entries above the byte budget; never the newest one."""
    entries = []
    for folder in newest.parent.iterdir():
        with contextlib.suppress(OSError):
            used_s = folder.stat().st_mtime
            if folder.name.startswith(MARK):
                if time.time() - used_s > STALE_S:
                    shutil.rmtree(folder, ignore_errors=True)
            else:
                entries.append((used_s, folder, sum(file.stat().st_size for file in folder.iterdir())))
    total_bytes = 0
    for _, folder, size_bytes in sorted(entries, reverse=True):
        total_bytes += size_bytes
        if total_bytes > MOST_BYTES and folder != newest:
            shutil.rmtree(folder, ignore_errors=True)
