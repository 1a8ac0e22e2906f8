"""Where rows end in delimited text: blocks of bytes → segments of whole rows, exact about quoted line ends."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.read.decode import Text

SEGMENT_BYTES = 5 << 19
"""Bytes parsed at once by one thread."""
FIRST_PART = 4
"""The first segment, which is read twice, since kinds are first told from it, is this much smaller."""
MOST_ROW_BYTES = 256 << 20
"""Bytes of one row at most; an unpaired quote would otherwise swallow the file."""
QUOTE, RETURN, FEED = b'"\r\n'

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """Whole rows of a file."""

    data: bytes
    start: int
    """Its place in the stream of UTF-8 bytes."""


def _places(data: bytes, byte: int) -> Places:
    return np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == byte)


def quoted_spans(data: bytes, delimiter: int) -> tuple[Places, Places]:
    """First and last quote of each quoted cell (its parts, at doubled quotes); a cell left open ends past the data.

    `data` starts at the start of a row. A quote opens a cell only at the cell's start, as Arrow's parser reads it.
    """
    quotes = _places(data, QUOTE)
    opens, closes = quotes[0::2], quotes[1::2]
    if len(closes) < len(opens):
        closes = np.append(closes, len(data))
    values = np.frombuffer(data, dtype=np.uint8)
    before = values[np.maximum(opens - 1, 0)]
    starts = (opens == 0) | (before == delimiter) | (before == FEED) | (before == RETURN)
    doubled = np.append(False, opens[1:] == closes[:-1] + 1)
    if bool((starts | doubled).all()):
        return opens, closes
    return _walked_spans(data, quotes, delimiter)


def _walked_spans(data: bytes, quotes: Places, delimiter: int) -> tuple[Places, Places]:
    """The same one quote after another, for text with quotes inside unquoted cells."""
    opens: list[int] = []
    closes: list[int] = []
    places = quotes.tolist()
    at = 0
    while at < len(places):
        place = places[at]
        at += 1
        if len(opens) > len(closes):
            if at < len(places) and places[at] == place + 1:
                at += 1
            else:
                closes.append(place)
        elif place == 0 or data[place - 1] in (delimiter, FEED, RETURN):
            opens.append(place)
    if len(opens) > len(closes):
        closes.append(len(data))
    return np.array(opens, dtype=np.int64), np.array(closes, dtype=np.int64)


def outside(places: Places, spans: tuple[Places, Places]) -> Places:
    """Those places that lie in no quoted span."""
    opens, closes = spans
    if len(opens) == 0:
        return places
    span = np.searchsorted(opens, places, side="right") - 1
    return places[(span < 0) | (places > closes[np.maximum(span, 0)])]


def row_cells(data: bytes, delimiter: int, quote: bool) -> tuple[Places, Places]:
    """For each row that is not blank: where it starts, and how many cells it has."""
    spans = quoted_spans(data, delimiter) if quote else (np.empty(0, np.int64), np.empty(0, np.int64))
    ends = outside(_places(data, FEED), spans)
    if len(ends) == 0 or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    starts = np.append(0, ends[:-1] + 1)
    delimiters = outside(_places(data, delimiter), spans)
    cells = np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts) + 1
    values = np.frombuffer(data + b"\n", dtype=np.uint8)
    blank = (starts == ends) | ((starts + 1 == ends) & (values[starts] == RETURN))
    return starts[~blank], cells[~blank]


def last_row_end(data: bytes, delimiter: int, quote: bool) -> int:
    """The length of the whole rows at the start of the data; 0 if no row ends in it."""
    if not quote or b'"' not in data:
        return data.rfind(b"\n") + 1
    opens, closes = quoted_spans(data, delimiter)
    stop = len(data)
    for first, last in zip(opens[::-1].tolist(), closes[::-1].tolist(), strict=True):
        end = data.rfind(b"\n", last + 1, stop)
        if end >= 0:
            return end + 1
        stop = first
    return data.rfind(b"\n", 0, stop) + 1


def segments(text: Text, delimiter: bytes, quote: bool) -> Iterator[Segment]:
    """Cut a stream of UTF-8 blocks into segments of whole rows; the last row needs no line end.

    Raises: DataError for a row that never ends: a quote without its pair, or a cell that is too long.
    """
    start, held, held_bytes, wanted = 0, list[bytes](), 0, SEGMENT_BYTES // FIRST_PART
    for block in text.blocks():
        held.append(block)
        held_bytes += len(block)
        if held_bytes < wanted:
            continue
        data = b"".join(held)
        end = last_row_end(data, delimiter[0], quote)
        if end == 0 and held_bytes > MOST_ROW_BYTES:
            raise _endless(text, data, start, delimiter, quote, f"one of more than {MOST_ROW_BYTES} bytes")
        if end:
            yield Segment(data[:end], start)
            start += end
        held, held_bytes = [data[end:]], len(data) - end
        wanted = SEGMENT_BYTES if end else 2 * held_bytes
    data = b"".join(held)
    if quote and b'"' in data:
        _, closes = quoted_spans(data, delimiter[0])
        if len(closes) and closes[-1] == len(data):
            raise _endless(text, data, start, delimiter, quote, "the end of the file inside a quoted cell")
    if data:
        yield Segment(data, start)


def line_at(text: Text, place: int) -> int:
    """The line (from 1) of a place in the stream; counted anew, since only errors ask."""
    lines, passed = 1, 0
    for block in text.blocks():
        lines += block.count(b"\n", 0, max(place - passed, 0))
        passed += len(block)
        if passed >= place:
            break
    return lines


def _endless(text: Text, data: bytes, start: int, delimiter: bytes, quote: bool, got: str) -> DataError:
    if quote and b'"' in data:
        opens, closes = quoted_spans(data, delimiter[0])
        if len(closes) and closes[-1] == len(data):
            where = f"{text.path}:{line_at(text, start + int(opens[-1]))}"
            return DataError(f"{where} a quoted cell must be closed", got, "Close it, or set data.quote: false")
    return DataError(f"{text.path}:{line_at(text, start)} a row must end", got, "Check data.delimiter and data.format")
