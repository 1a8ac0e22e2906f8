"""Parquet and Arrow (IPC, feather) files: typed already, read in place."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ceiba.base.errors import DataError
from ceiba.read.columns import MOST_ROWS, settle_batches, settled_schema
from ceiba.read.content import content_hash, watch
from ceiba.read.frame import Frame
from ceiba.read.spec import ReadSpec

BATCH_BYTES = 64 << 20
"""Bytes that one batch of a parquet file may take: rows with images are read few at a time."""


def read_parquet(path: Path, options: ReadSpec) -> Frame:
    """A parquet file as a frame.

    Raises: DataError if the file is damaged or another format.
    """
    try:
        file = pq.ParquetFile(path, memory_map=True)
        schema = settled_schema(file.schema_arrow, str(path))
        num_rows = file.metadata.num_rows
        groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
        row_bytes = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1.0)
        file.close()
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "a parquet file", error) from error
    check = watch(path)
    rows = int(min(MOST_ROWS, max(1, BATCH_BYTES // max(row_bytes, 1.0))))

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        check()
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        try:
            with pq.ParquetFile(path, memory_map=True) as opened:
                found = opened.iter_batches(batch_size=rows, columns=list(wanted.names))
                ordered = (batch.select(list(wanted.names)) for batch in found)
                yield from settle_batches(ordered, wanted, str(path))
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, "a parquet file", error) from error

    return Frame(schema, str(path), content_hash(path), num_rows, source)


def read_arrow(path: Path, options: ReadSpec) -> Frame:
    """An Arrow IPC file or stream (feather version 2 is one) as a frame, memory-mapped.

    Raises: DataError if the file is damaged or another format.
    """
    try:
        with _open_arrow(path) as reader:
            schema = settled_schema(reader.schema, str(path))
            num_rows = sum(batch.num_rows for batch in _batches(reader))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "an Arrow file", error) from error
    check = watch(path)

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        check()
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        try:
            with _open_arrow(path) as opened:
                chosen = (batch.select(list(wanted.names)) for batch in _batches(opened))
                yield from settle_batches(chosen, wanted, str(path))
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, "an Arrow file", error) from error

    return Frame(schema, str(path), content_hash(path), num_rows, source)


def _open_arrow(path: Path) -> "pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader":
    mapped = pa.memory_map(str(path))
    try:
        return pa.ipc.open_file(mapped)
    except pa.ArrowInvalid:
        mapped.seek(0)
        return pa.ipc.open_stream(mapped)


def _batches(reader: "pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader") -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(place) for place in range(reader.num_record_batches))
    return iter(reader)


def damaged(path: Path, what: str, error: Exception) -> DataError:
    """The error of a file that is not what its suffix says."""
    return DataError(f"{path} must be {what}", str(error).splitlines()[0], "Use an undamaged copy, or name its format")
