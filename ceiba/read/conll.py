"""CoNLL: one word a line with its columns, a blank line after each sentence: a row a sentence, its columns lists."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.read.content import content_hash
from ceiba.read.decode import Text, examine
from ceiba.read.frame import Frame, derived
from ceiba.read.rows import line_at, segments
from ceiba.read.spec import ReadSpec
from ceiba.read.spool import Settled, spooled

VERSION = "conll 1"
DOCUMENT = b"-DOCSTART-"
SENTENCES = 4096
"""Sentences of a batch."""


def read_conll(path: Path, options: ReadSpec) -> Frame:
    """A file of words in columns. The names come from `header`; without, they are token, tag (the last column), and
    column_2 and so on between. Lines that begin a document (-DOCSTART-) or a comment (# ) are left out.

    Raises: DataError for a line with another number of columns than the first one.
    """
    parted = None if options.delimiter in (None, "blank") else (options.delimiter or "").encode()
    named = options.header if isinstance(options.header, tuple) else None
    identity = derived(content_hash(path), VERSION, options.encoding or "", str(parted), str(named))

    def build(target: Path) -> Settled:
        text = examine(path, options.encoding)
        sentences = _sentences(text, parted)
        first = next(sentences, None)
        names = named or _names(len(first) if first else 2)
        if first is not None and len(first) != len(names):
            raise DataError(
                f"{path} must have a name for each column",
                f"{len(first)} columns, {len(names)} names",
                "Correct data.header",
            )
        schema = pa.schema([pa.field(name, pa.list_(pa.string())) for name in names])
        num_rows = 0
        with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            held = [] if first is None else [first]
            for sentence in sentences:
                held.append(sentence)
                if len(held) == SENTENCES:
                    writer.write_batch(_batch(held, schema))
                    num_rows, held = num_rows + len(held), []
            if held:
                writer.write_batch(_batch(held, schema))
        return Settled(num_rows + len(held), text.notes)

    return spooled(identity, str(path), build)


def _names(count: int) -> tuple[str, ...]:
    between = tuple(f"column_{place}" for place in range(2, count))
    return ("token", *between, "tag")[:count] if count > 1 else ("token",)


def _batch(sentences: list[list[list[str]]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([one[place] for one in sentences], schema.field(place).type) for place in range(len(schema))]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _sentences(text: Text, parted: bytes | None) -> Iterator[list[list[str]]]:
    """Each sentence as its columns."""
    words: list[list[str]] = []
    width = 0
    for segment in segments(text, b"\t", quote=False):
        for number, line in enumerate(segment.data.removesuffix(b"\n").split(b"\n")):
            line = line.strip()
            if not line or line.startswith((DOCUMENT, b"# ")):
                if words:
                    yield [list(column) for column in zip(*words, strict=True)]
                words = []
                continue
            cells = [cell.decode() for cell in line.split(parted)]
            width = width or len(cells)
            if len(cells) != width:
                where = f"{text.path}:{line_at(text, segment.start) + number}"
                raise DataError(f"{where} must have {width} columns", f"{len(cells)}", "Mend the line")
            words.append(cells)
    if words:
        yield [list(column) for column in zip(*words, strict=True)]
