"""Cleaning applied: to the batches of training and serving alike, and to whole frames."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from ceiba.prepare.clean import CleanSpec, DropDuplicatesSpec, DropMissingSpec
from ceiba.read import Frame

MARK = b"ceiba.cleaned"


class Cleaner:
    """The column operations of a recipe as one function batch → batch, the same before training and before serving."""

    def __init__(self, operations: Sequence[CleanSpec]):
        self.operations = tuple(operation for operation in operations if not operation.rows)
        self.mark = "\n".join(operation.model_dump_json() for operation in self.operations).encode()

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Clean a batch; one that went through these very operations already is given back as it is."""
        if not self.operations or (batch.schema.metadata or {}).get(MARK) == self.mark:
            return batch
        for operation in self.operations:
            batch = operation.apply(batch)
        return batch.replace_schema_metadata({**(batch.schema.metadata or {}), MARK: self.mark})

    def before(self, names: frozenset[str]) -> frozenset[str]:
        """The columns that must be read so that these come out right."""
        for operation in reversed(self.operations):
            names = operation.before(names)
        return names


def clean_frame(frame: Frame, operations: Sequence[CleanSpec]) -> Frame:
    """A frame after all operations in their order; only the columns that are asked for are read and changed.

    Raises: DataError for an operation that names an unknown column or does not fit one.
    """
    for operation in operations:
        operation.check(frame.schema, frame.origin)
        if isinstance(operation, DropMissingSpec | DropDuplicatesSpec):
            rows = operation.kept(frame)
            if len(rows) < frame.num_rows:
                left_out = f"clean.{operation.type} left out {frame.num_rows - len(rows)} of {frame.num_rows} rows"
                frame = frame.take(rows).noted(f"{frame.origin}: {left_out}")
        else:
            frame = _clean_columns(frame, Cleaner([operation]))
    return _marked(frame, Cleaner(operations))


def _clean_columns(frame: Frame, cleaner: Cleaner) -> Frame:
    inner = frame.source
    known = frozenset(frame.names)
    empty = pa.RecordBatch.from_pylist([], schema=frame.schema.remove_metadata())
    schema = cleaner(empty).schema.remove_metadata()

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        wanted = tuple(schema.names if columns is None else columns)
        read = cleaner.before(frozenset(wanted)) & known
        for batch in inner(tuple(name for name in frame.names if name in read)):
            yield cleaner(batch.replace_schema_metadata(None)).select(list(wanted)).replace_schema_metadata(None)

    mapped = frame.map(cleaner.mark.decode(), cleaner, schema)
    return replace(mapped, source=source)


def _marked(frame: Frame, cleaner: Cleaner) -> Frame:
    """The frame with the cleaner's mark on its batches, so that serving's cleaner does not run twice."""
    if not cleaner.operations:
        return frame
    inner, metadata = frame.source, {MARK: cleaner.mark}

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        return (batch.replace_schema_metadata(metadata) for batch in inner(columns))

    return replace(frame, schema=frame.schema.with_metadata(metadata), source=source)
