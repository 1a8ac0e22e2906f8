"""The spool: what was settled once is kept as a memory-mapped Arrow file, in a bounded cache that is safe to delete."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ceiba.base.errors import CeibaError, InputError
from ceiba.base.files import MARK, files_below, sync_file, write_folder
from ceiba.read.content import cache_folder, trim_hashes
from ceiba.read.frame import Frame, decoded_field

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
"""Writes an Arrow file at the path it is given. Its notes do not name the file: equal content may lie elsewhere."""


def cached_folder(kind: str, identity: str, build: Callable[[Path], None]) -> Path:
    """The cache entry of that kind and identity; built all or nothing where it is absent. Of two builders one wins.

    The least recently used entries of a kind go when all of them together exceed the byte budget.
    """
    folder = cache_folder() / kind / identity
    if not folder.is_dir():
        try:
            with write_folder(folder, manifest=False) as temporary:
                build(temporary)
                for file in files_below(temporary):
                    sync_file(file)
        except (OSError, InputError) as error:
            if not folder.is_dir():  # else another process was faster, and its entry is as good
                if isinstance(error, InputError):
                    raise
                do = "Free space there, or set CEIBA_CACHE to another folder"
                raise CeibaError(f"{cache_folder()} must be writable", error.strerror or str(error), do) from error
        _trim(folder)
        trim_hashes()
    with contextlib.suppress(OSError):
        os.utime(folder)
    return folder


def spooled(identity: str, origin: str, build: Build) -> Frame:
    """The frame over the spool of that identity, built if it is absent or damaged."""

    def fill(folder: Path) -> None:
        settled = build(folder / TABLE)
        size_bytes = (folder / TABLE).stat().st_size
        entry = {"num_rows": settled.num_rows, "size_bytes": size_bytes, "notes": settled.notes}
        (folder / ENTRY).write_text(json.dumps(entry), encoding="utf-8")

    folder = cached_folder("spools", identity, fill)
    frame = _open(folder, identity, origin)
    if frame is None:
        shutil.rmtree(folder, ignore_errors=True)
        frame = _open(cached_folder("spools", identity, fill), identity, origin)
    if frame is None:
        raise InputError(f"{folder} must be writable", "what cannot be read back", "Set CEIBA_CACHE to another folder")
    return frame


def _open(folder: Path, identity: str, origin: str) -> Frame | None:
    try:
        entry = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        if (folder / TABLE).stat().st_size != entry["size_bytes"]:
            return None
        # mapped once and held: the pages stay readable if another process clears the cache
        mapped = pa.memory_map(str(folder / TABLE))
        reader = pa.ipc.open_file(mapped)
    except (OSError, ValueError, KeyError, TypeError):
        return None

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        if columns is None:
            places, own = list(range(len(reader.schema))), reader
        else:
            places = [reader.schema.get_field_index(name) for name in columns]
            own = pa.ipc.open_file(mapped, options=pa.ipc.IpcReadOptions(included_fields=places))
        order = None if places == sorted(places) else list(columns or ())
        for place in range(reader.num_record_batches):
            batch = own.get_batch(place)
            yield batch if order is None else batch.select(order)

    return Frame(
        pa.schema([decoded_field(field) for field in reader.schema], reader.schema.metadata),
        origin,
        identity,
        int(entry["num_rows"]),
        source,
        tuple(f"{origin}: {note}" for note in entry["notes"]),
    )


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
                entries.append((used_s, folder, sum(file.stat().st_size for file in files_below(folder))))
    total_bytes = 0
    for _, folder, size_bytes in sorted(entries, reverse=True):
        total_bytes += size_bytes
        if total_bytes > MOST_BYTES and folder != newest:
            shutil.rmtree(folder, ignore_errors=True)
