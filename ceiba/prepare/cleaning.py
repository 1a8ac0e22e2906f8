"""Cleaning applied to whole frames."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from ceiba.clean import MARK, Cleaner, CleanSpec, RowSpec
from ceiba.read import Frame


def clean_frame(frame: Frame, operations: Sequence[CleanSpec]) -> Frame:
    """A frame after all operations in their order; only the columns that are asked for are read and changed.

    Raises: DataError for an operation that names an unknown column or does not fit one.
    """
    for operation in operations:
        operation.check(frame.schema, frame.origin)
        if isinstance(operation, RowSpec):
            rows = operation.kept(frame.batches(operation.named() or None))
            if len(rows) < frame.num_rows:
                left_out = f"clean.{operation.type} left out {frame.num_rows - len(rows)} of {frame.num_rows} rows"
                frame = frame.take(rows).noted(f"{frame.origin}: {left_out}")
        else:
            frame = _clean_columns(frame, Cleaner([operation]))
    return _marked(frame, Cleaner(operations))


def _clean_columns(frame: Frame, cleaner: Cleaner) -> Frame:
    known = frozenset(frame.names)
    empty = pa.RecordBatch.from_pylist([], schema=frame.schema.remove_metadata())
    schema = cleaner(empty).schema.remove_metadata()

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        wanted = tuple(schema.names if columns is None else columns)
        read = cleaner.before(frozenset(wanted)) & known
        for batch in frame.batches(tuple(name for name in frame.names if name in read)):
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
