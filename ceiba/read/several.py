"""Several files of one table, one after another."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from ceiba.base.errors import DataError, listed, nearest
from ceiba.read.columns import settle_batch
from ceiba.read.frame import Frame, derived
from ceiba.read.kinds import join

MOST_SHOWN = 1


def concatenate(frames: Sequence[Frame]) -> Frame:
    """The rows of all frames; columns may be in another order, whole numbers and empty columns are widened.

    Raises: DataError naming the file whose columns or kinds differ from the first's.
    """
    first = frames[0]
    if len(frames) == 1:
        return first
    fields = {field.name: field for field in first.schema}
    for frame in frames[1:]:
        _same_names(first, frame)
        for field in frame.schema:
            fields[field.name] = _joined(fields[field.name], field, first, frame)
    schema = pa.schema([fields[name] for name in first.names])
    origin = f"{first.origin} and {len(frames) - 1} more"

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        names = first.names if columns is None else columns
        wanted = pa.schema([schema.field(name) for name in names])
        for frame in frames:
            for batch in frame.batches(names):
                yield settle_batch(batch, wanted, frame.origin)

    identity = derived("several", *(frame.identity for frame in frames))
    notes = tuple(note for frame in frames for note in frame.notes)
    return Frame(schema, origin, identity, sum(frame.num_rows for frame in frames), source, notes)


def _same_names(first: Frame, frame: Frame) -> None:
    lacking = [name for name in first.names if name not in frame.names]
    extra = [name for name in frame.names if name not in first.names]
    if lacking or extra:
        got = f"none of the name {lacking[0]!r}" if lacking else f"{listed(extra)} besides"
        do = nearest(lacking[0], frame.names) if lacking else "Leave the column out, or give every file one"
        raise DataError(f"{frame.origin} must have the columns of {first.origin}", got, do)


def _joined(ours: pa.Field, theirs: pa.Field, first: Frame, frame: Frame) -> pa.Field:
    if ours.type == theirs.type:
        return ours
    kind = join(ours.type, theirs.type)
    if pa.types.is_string(kind) and not pa.types.is_null(ours.type) and not pa.types.is_null(theirs.type):
        rule = f"{frame.origin} column '{theirs.name}' must be {ours.type} as in {first.origin}"
        raise DataError(rule, str(theirs.type), "Mend the value that differs, or add its spelling to data.missing")
    return pa.field(ours.name, kind, metadata=ours.metadata)
