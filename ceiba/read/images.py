"""Images: a folder, zip or tar of them with a folder for each class, or the files that the cells of a table name."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from ceiba.base.errors import DataError, listed, nearest
from ceiba.read.files import Files, Get, open_files
from ceiba.read.frame import Frame, derived
from ceiba.read.kinds import text_array

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"))
BATCH_ROWS, BATCH_BYTES = 256, 16 << 20
SAMPLED_CELLS = 100
"""Cells looked at to tell whether a column names files."""


def image_names(files: Files) -> list[str]:
    """The images among files, by their suffix."""
    return [name for name in files.sizes if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]


def images_frame(files: Files) -> Frame:
    """Columns `file`, `image` (its bytes) and, where images lie in folders, `label`: the name of the image's folder.

    Raises: DataError if there is no image.
    """
    names = image_names(files)
    if not names:
        raise DataError(
            f"{files.path} must hold images", listed(files.sizes) or "no files", "Name another folder or file"
        )
    labels = [PurePosixPath(name).parent.name or None for name in names]
    fields = [pa.field("file", pa.string()), pa.field("image", pa.binary())]
    schema = pa.schema([*fields, pa.field("label", pa.string())] if any(labels) else fields)
    others = len(files.sizes) - len(names)
    notes = (f"{files.path}: {others} files that are no images left out",) if others else ()

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        with files.reader() as get:
            for start, stop in _cuts([files.sizes[name] for name in names]):
                part = names[start:stop]
                arrays = []
                for name in wanted.names:
                    if name == "image":
                        arrays.append(pa.array([get(file) for file in part], pa.binary()))
                    else:
                        arrays.append(text_array(part if name == "file" else labels[start:stop]))
                yield pa.RecordBatch.from_arrays(arrays, schema=wanted)

    return Frame(schema, str(files.path), derived(files.identity, "images"), len(names), source, notes)


def _cuts(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of rows of a bounded number and size."""
    start = held_bytes = 0
    for row, size_bytes in enumerate(sizes):
        if row > start and (row - start == BATCH_ROWS or held_bytes + size_bytes > BATCH_BYTES):
            yield start, row
            start, held_bytes = row, 0
        held_bytes += size_bytes
    if len(sizes) > start:
        yield start, len(sizes)


def attach_files(frame: Frame, columns: Sequence[str] | None, files: str | Path, damaged: str = "error") -> Frame:
    """The frame with the file names in some text columns replaced by the bytes of those files, read when needed.

    `columns` None: those whose cells all name files. `damaged` "skip" leaves out rows that name an absent file.

    Raises: DataError for an unknown column, a cell that names no file, or an archive that breaks a rule.
    """
    found = open_files(Path(files))
    chosen = tuple(columns) if columns is not None else _naming_columns(frame, found)
    chosen = tuple(name for name in chosen if not pa.types.is_binary(frame.column(name).type))
    if not chosen:
        return frame
    frame = _present_rows(frame, chosen, found, damaged)
    schema = frame.schema
    for name in chosen:
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.binary()))
    identity = derived(frame.identity, "files", found.identity, *chosen)
    inner = frame

    def source(wanted: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        with found.reader() as get:
            for whole in inner.batches(wanted):
                for start in range(0, whole.num_rows, BATCH_ROWS):
                    batch = whole.slice(start, BATCH_ROWS)
                    arrays = [
                        _contents(column, found, get) if name in chosen else column
                        for name, column in zip(batch.schema.names, batch.columns, strict=True)
                    ]
                    yield pa.RecordBatch.from_arrays(
                        arrays, schema=pa.schema([schema.field(n) for n in batch.schema.names])
                    )

    note = f"{frame.origin}: {listed(chosen)} hold the files of {files}"
    return Frame(schema, frame.origin, identity, frame.num_rows, source, (*frame.notes, note))


def _contents(column: pa.Array, files: Files, get: Get) -> pa.Array:
    names = [None if cell is None else files.resolve(str(cell)) for cell in column.to_pylist()]
    return pa.array([None if name is None else get(name) for name in names], pa.binary())


def _naming_columns(frame: Frame, files: Files) -> tuple[str, ...]:
    found = []
    for field in frame.schema:
        if pa.types.is_string(field.type):
            cells = [
                cell.as_py() for chunk in islice(frame.column(field.name), 1) for cell in chunk.slice(0, SAMPLED_CELLS)
            ]
            named = [files.resolve(cell) is not None for cell in cells if cell is not None]
            if named and 2 * sum(named) > len(named):
                found.append(field.name)
    if not found:
        got = f"columns {listed(frame.names)} and files {listed(files.sizes)}"
        raise DataError(
            f"{frame.origin} must have a column that names files of {files.path}", got, "Correct data.files"
        )
    return tuple(found)


def _present_rows(frame: Frame, columns: Sequence[str], files: Files, damaged: str) -> Frame:
    """The frame without rows that name an absent file, if skipping is allowed; a missing cell names none and stays."""
    absent: list[int] = []
    row = 0
    for batch in frame.batches(columns):
        for name, column in zip(columns, batch.columns, strict=True):
            for place, cell in enumerate(column.to_pylist()):
                if cell is None or files.resolve(str(cell)) is not None:
                    continue
                if damaged != "skip":
                    where = f"{frame.origin} row {row + place + 1}, column '{name}'"
                    do = nearest(str(cell), files.sizes) + " Or set data.damaged: skip"
                    raise DataError(f"{where} must name a file of {files.path}", repr(cell), do)
                absent.append(row + place)
        row += batch.num_rows
    if not absent:
        return frame
    kept = np.setdiff1d(np.arange(frame.num_rows), np.array(absent))
    return frame.take(kept).noted(
        f"{frame.origin}: {len(set(absent))} rows skipped whose files are not in {files.path}"
    )
