"""Columns from several files side by side: line n of each is in row n, as translations come."""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.read.frame import Frame, derived


def side_by_side(frames: Mapping[str, Frame]) -> Frame:
    """One table of the only column of each frame, named as told.

    Raises: DataError for a frame of several columns, or of another number of rows than the first.
    """
    first = next(iter(frames.values()))
    for name, frame in frames.items():
        if len(frame.names) != 1:
            got = f"{len(frame.names)} columns"
            raise DataError(f"{frame.origin} must hold the lines of the column '{name}'", got, "Set data.format: txt")
        if frame.num_rows != first.num_rows:
            rule = f"{frame.origin} must have a line for each of {first.origin}"
            raise DataError(rule, f"{frame.num_rows} and {first.num_rows} lines", "Use files that belong together")
    # Without the mark of lines that are one text: here each is a row of its own.
    schema = pa.schema([pa.field(name, frame.schema.field(0).type) for name, frame in frames.items()])

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        names = tuple(frames) if columns is None else columns
        wanted = pa.schema([schema.field(name) for name in names])
        yield from _zipped([frames[name].batches() for name in names], wanted)

    identity = derived("beside", *(f"{name} {frame.identity}" for name, frame in frames.items()))
    origin = " and ".join(frame.origin for frame in frames.values())
    notes = tuple(note for frame in frames.values() for note in frame.notes)
    return Frame(schema, origin, identity, first.num_rows, source, notes)


def _zipped(sides: list[Iterator[pa.RecordBatch]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches of all sides, cut where any of them is."""
    held = [pa.array([], field.type) for field in schema]
    while sides:
        for place, side in enumerate(sides):
            while not len(held[place]):
                batch = next(side, None)
                if batch is None:
                    return
                held[place] = batch.column(0)
        rows = min(map(len, held))
        yield pa.RecordBatch.from_arrays([one[:rows] for one in held], schema=schema)
        held = [one[rows:] for one in held]
