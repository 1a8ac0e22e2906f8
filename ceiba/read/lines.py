"""Plain text: one column, one row a line; a .txt that is a table by its look is read as one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ceiba.read.content import content_hash
from ceiba.read.decode import Text, examine, glance
from ceiba.read.delimited import ordered, read_delimited
from ceiba.read.dialect import looks_like_table
from ceiba.read.frame import Frame, derived
from ceiba.read.rows import Segment, segments
from ceiba.read.spec import ReadSpec
from ceiba.read.spool import Settled, spooled

VERSION = "lines 2"
LINES = b"lines"
"""Key in the metadata of a column whose rows are the lines of one text."""


def read_text(path: Path, options: ReadSpec) -> Frame:
    """A text file, a row a line, empty lines kept; lines joined by line ends give back the text.

    A .txt whose lines are cells (by a delimiter given, or tabs or numbers in every line) is read as a table instead,
    unless `format: txt` is given.
    """
    if options.format is None:
        asked = options.delimiter is not None or isinstance(options.header, tuple)
        if asked or looks_like_table(glance(path)):
            return read_delimited(path, options)
    identity = derived(content_hash(path), VERSION, options.encoding or "", options.text_column)

    def build(target: Path) -> Settled:
        text = examine(path, options.encoding)
        schema = pa.schema([pa.field(options.text_column, pa.string(), metadata={LINES: b"1"})])
        num_rows = 0
        with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch in _batches(text, schema):
                writer.write_batch(batch)
                num_rows += batch.num_rows
        return Settled(num_rows, text.notes)

    return spooled(identity, str(path), build)


def _batches(text: Text, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    def work(segment: Segment) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([line_array(segment.data)], schema=schema)

    return ordered(work, segments(text, b"\t", quote=False))


def line_array(data: bytes) -> pa.Array:
    """The lines of UTF-8 bytes without their ends; a last line without an end counts."""
    data = data.replace(b"\r\n", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    offsets = np.append(0, ends - np.arange(len(ends))).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data.replace(b"\n", b""))]
    )


def are_lines(frame: Frame, column: str) -> bool:
    """Whether a column's rows are the lines of one text, whose order says something."""
    return LINES in (frame.schema.field(column).metadata or {})
