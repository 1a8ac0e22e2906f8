"""Bytes of a text file → UTF-8 bytes: unpacking, and the encoding found over the whole stream."""

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ceiba.base.errors import DataError

BLOCK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 17
"""Bytes of the beginning from which delimiter, header and quoting are told; below csv's limit for one cell."""
ZERO_SHARE = 0.1
"""Share of zero bytes from which a text is taken for UTF-16 without a mark."""

OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".tgz": gzip.open, ".tbz2": bz2.open, ".txz": lzma.open,
}  # fmt: skip
"""Suffix of a packed file → what opens it."""
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
MAGIC = {
    b"PAR1": "parquet", b"ARROW1": "arrow", b"SQLite format 3\0": "sqlite", b"PK\3\4": "zip", b"\x1f\x8b": "gz",
    b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x89PNG": "an image", b"\xff\xd8\xff": "an image", b"%PDF": "a PDF",
    b"\0\0\x08": "idx",
}  # fmt: skip
"""First bytes → what a file is that is no text."""
CONTROLS = re.compile(rb"[\x80-\x9f]")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file for reading bytes, unpacked by its suffix.

    Raises: DataError if it cannot be read or unpacked.
    """
    try:
        with OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DataError(f"{path} must be a whole {path.suffix} file", str(error), "Use an undamaged copy") from error
    except OSError as error:
        raise DataError(f"{path} must be readable", error.strerror or str(error), "Check the file") from error


def raw_blocks(path: Path) -> Iterator[bytes]:
    """The unpacked bytes, a block at a time."""
    with opened(path) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


@dataclass(frozen=True)
class Text:
    """A text file whose encoding is known: re-readable blocks of UTF-8."""

    path: Path
    encoding: str
    """Name of the encoding."""
    mark_bytes: int
    """Length of the byte order mark, which is left out."""
    returns_only: bool
    """Whether lines end in a carriage return alone."""
    has_quotes: bool
    """Whether the stream holds any double quote."""
    notes: tuple[str, ...] = ()

    def blocks(self) -> Iterator[bytes]:
        """UTF-8 bytes, a block at a time, lines ending in \\n or \\r\\n."""
        skip = self.mark_bytes
        decoder = None if self.encoding == "utf-8" else codecs.getincrementaldecoder(self.encoding)()
        for raw in raw_blocks(self.path):
            block = raw[skip:] if skip else raw
            skip = 0
            if decoder is not None:
                block = decoder.decode(block).encode()
            yield block.replace(b"\r", b"\n") if self.returns_only else block
        if decoder is not None and (rest := decoder.decode(b"", final=True)):
            yield rest.encode()

    def sample(self) -> str:
        """The beginning, cut after its last whole line where there is one."""
        found = b""
        for block in self.blocks():
            found += block
            if len(found) > SAMPLE_BYTES:
                found = found[:SAMPLE_BYTES]
                found = found[: found.rfind(b"\n") + 1] or found
                break
        return found.decode(errors="ignore")


def glance(path: Path) -> str:
    """The beginning of a text file, read alone: enough to tell what it is, not to settle how it is written."""
    with opened(path) as file:
        start = file.read(SAMPLE_BYTES)
    encoding = next((name for mark, name in MARKS if start.startswith(mark)), _unmarked(start))
    text = start.decode(encoding, errors="replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return text[: text.rfind("\n") + 1] if len(start) == SAMPLE_BYTES and "\n" in text else text


def examine(path: Path, encoding: str | None) -> Text:
    """Read the whole stream once and settle its encoding: the one given, else UTF-8 or UTF-16, else latin-1, noted.

    Raises: DataError for bytes that break the encoding given, an unknown encoding, or a zero byte in text.
    """
    with opened(path) as file:
        start = file.read(SAMPLE_BYTES)
    kind = next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
    kind = "tar" if start[257:262] == b"ustar" else kind
    if kind is not None:
        do = f"Set data.format: {kind}, or name another file"
        raise DataError(f"{path} must be text", f"a {kind} file" if " " not in kind else kind, do)
    marked = next(((len(mark), name) for mark, name in MARKS if start.startswith(mark)), None)
    if encoding is not None:
        name = _known_encoding(path, encoding)
        found = _Found(name, marked[0] if marked and marked[1].startswith(name) else 0)
        found = _Found(marked[1], marked[0]) if marked and name == "utf-16" else found
    else:
        found = _Found(marked[1], marked[0]) if marked else _Found(_unmarked(start), 0)
    must = encoding is not None or marked is not None or found.encoding != "utf-8"
    survey = _Survey(path, found, must)
    for block in raw_blocks(path):
        survey.see(block)
    return survey.text()


@dataclass(frozen=True)
class _Found:
    encoding: str
    mark_bytes: int


def _known_encoding(path: Path, encoding: str) -> str:
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)
    except LookupError as error:
        raise DataError(
            f"{path} must have a known encoding",
            f"'{encoding}'",
            "Set data.encoding to utf-8, utf-16, latin-1, cp1252, ...",
        ) from error
    return {"utf-8-sig": "utf-8"}.get(info.name, info.name)


def _unmarked(start: bytes) -> str:
    """UTF-16 shows by zero bytes at every second place of western text; anything else starts as UTF-8."""
    zeros = start[0::2].count(0), start[1::2].count(0)
    if min(zeros) > 0 or max(zeros) < ZERO_SHARE * len(start):
        return "utf-8"
    return "utf-16-le" if zeros[1] else "utf-16-be"


class _Survey:
    """What one pass over the bytes tells."""

    def __init__(self, path: Path, found: _Found, must: bool):
        self.path, self.found, self.must = path, found, must
        self.decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder(found.encoding)()
        self.passed_bytes = 0
        self.skip = found.mark_bytes
        self.has_returns = self.has_feeds = self.has_quotes = self.has_controls = False

    def see(self, raw: bytes) -> None:
        block = raw[self.skip :] if self.skip else raw
        self.skip, self.passed_bytes = 0, self.passed_bytes + self.skip
        wide = self.found.encoding.startswith(("utf-16", "utf-32"))
        if not wide and (place := block.find(b"\0")) >= 0:
            line = self._line(self.passed_bytes + place)
            raise DataError(f"{self.path}:{line} must be text", "a zero byte", "Remove it, or set data.encoding")
        if self.decoder is not None:
            self._decode(block)
        self.has_returns |= b"\r" in block
        self.has_feeds |= b"\n" in block
        self.has_quotes |= b'"' in block
        self.has_controls |= CONTROLS.search(block) is not None if self.decoder is None else False
        self.passed_bytes += len(block)

    def _decode(self, block: bytes) -> None:
        assert self.decoder is not None
        if block.isascii() and self.found.encoding == "utf-8" and self.decoder.getstate()[0] == b"":
            return
        try:
            self.decoder.decode(block)
        except UnicodeDecodeError as error:
            if self.must:
                line = self._line(self.passed_bytes + error.start)
                got = f"the byte 0x{error.object[error.start]:02x}"
                do = "Set data.encoding to the encoding it was written in (latin-1, cp1252, utf-16, ...)"
                raise DataError(f"{self.path}:{line} must be {self.found.encoding} text", got, do) from error
            self.decoder = None
            self.has_controls |= CONTROLS.search(block) is not None

    def _line(self, place: int) -> int:
        """The line (from 1) of a byte; counted anew, since only errors ask."""
        lines, passed = 1, 0
        for block in raw_blocks(self.path):
            lines += block.count(b"\n", 0, max(place - passed, 0))
            passed += len(block)
        return lines

    def text(self) -> Text:
        returns_only = self.has_returns and not self.has_feeds
        notes: tuple[str, ...] = ()
        encoding = self.found.encoding
        if self.decoder is None or self._cut_short():
            encoding = "cp1252" if self.has_controls and self._fits("cp1252") else "latin-1"
            notes = (f"not UTF-8, read as {encoding}; set data.encoding if letters look wrong",)
        elif encoding != "utf-8":
            notes = (f"read as {encoding}",)
        return Text(self.path, encoding, self.found.mark_bytes, returns_only, self.has_quotes, notes)

    def _cut_short(self) -> bool:
        """Whether the stream ends inside a letter."""
        assert self.decoder is not None
        try:
            self.decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            if self.must:
                raise DataError(
                    f"{self.path}:{self._line(self.passed_bytes)} must be {self.found.encoding} text",
                    "an end inside a letter",
                    "Use an undamaged copy",
                ) from error
            return True
        return False

    def _fits(self, encoding: str) -> bool:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for block in raw_blocks(self.path):
                decoder.decode(block)
        except UnicodeDecodeError:
            return False
        return True
