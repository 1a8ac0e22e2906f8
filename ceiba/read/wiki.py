"""A dump of a MediaWiki (Wikipedia): XML → columns `title` and `text`, an article a row, its markup taken off."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.read.content import content_hash
from ceiba.read.decode import raw_blocks
from ceiba.read.frame import Frame, derived
from ceiba.read.spec import ReadSpec
from ceiba.read.spool import Settled, spooled

VERSION = "wiki 1"
ARTICLE = "0"
"""The namespace of articles; talk, user and help pages have others."""
MOST_CHARACTERS = 64 << 20
"""Of one page, at most."""
BATCH_CHARACTERS = 4 << 20
SCHEMA = pa.schema([("title", pa.string()), ("text", pa.string())])
KEPT = ("title", "ns", "text")
INNERMOST = re.compile(r"\{\{[^{}]*\}\}|\{\|[^{}]*?\|\}", re.DOTALL)
GONE = re.compile(
    r"<!--.{0,5000}?-->|<ref[^<>]*/>|<ref[^<>]*>.{0,5000}?</ref>"
    r"|<(math|gallery|table|timeline|code|pre)[^<>]*>.{0,5000}?</\1>|</?[a-z][^<>]*>|__[A-Z]{1,20}__",
    re.DOTALL | re.IGNORECASE,
)
"""Bounded, so that what has no end costs no more than its length allows."""
FILES = re.compile(r"\[\[[^\[\]|:]{1,40}:(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]")
LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
WEB = re.compile(r"\[(?:https?:)?//[^\s\[\]]*\s?([^\[\]]*)\]")
HEADING = re.compile(r"^=+\s*(.*?)\s*=+\s*$", re.MULTILINE)
ITEM = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
QUOTES = re.compile(r"'{2,}")
BLANK_LINES = re.compile(r"\n{3,}")


def read_wiki(path: Path, options: ReadSpec) -> Frame:
    """A dump, packed or not, read page by page in constant memory; redirects and pages that are no articles are left
    out and counted.

    Raises: DataError for XML that is damaged, declares entities, or is no MediaWiki export.
    """
    identity = derived(content_hash(path), VERSION)

    def build(target: Path) -> Settled:
        pages = _Pages(path)
        held: list[tuple[str, str]] = []
        num_rows = size = 0
        with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:

            def write() -> None:
                titles, texts = [title for title, _ in held], [text for _, text in held]
                writer.write_batch(pa.record_batch([pa.array(titles, pa.string()), pa.array(texts)], schema=SCHEMA))

            for page in pages:
                held.append(page)
                size += len(page[1])
                if size >= BATCH_CHARACTERS:
                    write()
                    num_rows, held, size = num_rows + len(held), [], 0
            if held:
                write()
        others = f"{pages.others} redirects and pages that are no articles left out"
        return Settled(num_rows + len(held), (others,) if pages.others else ())

    return spooled(identity, str(path), build)


@dataclass
class _Pages:
    """The articles of a dump, one after another."""

    path: Path
    others: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)
    within: list[str] = field(default_factory=list)
    size: int = 0

    def __iter__(self) -> Iterator[tuple[str, str]]:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler, parser.EntityDeclHandler = self._data, self._entity
        try:
            for block in raw_blocks(self.path):
                parser.Parse(block, False)
                yield from self.found
                self.found = []
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            where = f"{self.path}:{error.lineno}"
            raise DataError(f"{where} must be XML", expat.ErrorString(error.code), "Use a whole dump") from error
        yield from self.found

    def _entity(self, name: str, *_: object) -> None:
        raise DataError(f"{self.path} must not declare entities", f"'{name}'", "Use a dump as MediaWiki writes it")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        own = name.rsplit(" ", 1)[-1]
        if not self.within and own != "mediawiki":
            raise DataError(f"{self.path} must be a MediaWiki export", f"<{own}>", "Name a pages-articles dump")
        self.within.append(own)
        if own == "page":
            self.parts, self.size = {}, 0
        elif own == "redirect":
            self.parts["redirect"] = [""]
        elif own in KEPT:
            self.parts[own] = []

    def _data(self, text: str) -> None:
        if self.within and self.within[-1] in self.parts:
            self.size += len(text)
            if self.size > MOST_CHARACTERS:
                raise DataError(
                    f"{self.path} must have pages of at most {MOST_CHARACTERS:,} characters", "more", "Mend it"
                )
            self.parts[self.within[-1]].append(text)

    def _end(self, name: str) -> None:
        own = self.within.pop()
        if own != "page":
            return
        parts = {part: "".join(texts) for part, texts in self.parts.items()}
        if "redirect" in parts or parts.get("ns", ARTICLE) != ARTICLE:
            self.others += 1
        elif text := plain_text(parts.get("text", "")):
            self.found.append((parts.get("title", ""), text))


def plain_text(markup: str) -> str:
    """Markup → the text that a reader sees: without templates, tables, notes and files; links by their words."""
    text = GONE.sub("", markup)
    for _ in range(20):  # what stands innermost goes first
        text, count = INNERMOST.subn("", text)
        if not count:
            break
    text = LINK.sub(r"\1", FILES.sub("", text))
    text = QUOTES.sub("", WEB.sub(r"\1", text))
    text = ITEM.sub("", HEADING.sub(r"\1", text))
    return BLANK_LINES.sub("\n\n", html.unescape(text)).strip()
