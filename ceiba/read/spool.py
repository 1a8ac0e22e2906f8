"""The spool: what was settled once is kept as a memory-mapped Arrow file, in a cache that is safe to delete."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ceiba.base.errors import InputError
from ceiba.read.cache import cached_folder
from ceiba.read.frame import Frame, decoded_field

TABLE, ENTRY = "table.arrow", "entry.json"


@dataclass(frozen=True)
class Settled:
    """What a build wrote: how many rows, and what to tell the user."""

    num_rows: int
    notes: tuple[str, ...]


Build = Callable[[Path], Settled]
"""Writes an Arrow file at the path it is given. Its notes do not name the file: equal content may lie elsewhere."""


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
        if not columns:  # Arrow takes no names at all for every column
            places, own = list(range(len(reader.schema))), reader
        else:
            places = [reader.schema.get_field_index(name) for name in columns]
            own = pa.ipc.open_file(mapped, options=pa.ipc.IpcReadOptions(included_fields=places))
        order = None if columns is None or (columns and places == sorted(places)) else list(columns)
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
