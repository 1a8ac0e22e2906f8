"""How a text table is written: delimiter, quoting, header, decimal mark; given, else told from its beginning."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ceiba.base.errors import DataError, listed
from ceiba.read.kinds import USUAL_MISSING, join, text_array, text_kind
from ceiba.read.spec import ReadSpec

BLANK = "blank"
DELIMITERS = (",", "\t", ";", "|")
MOST_SAMPLED = 1000
"""Rows looked at to tell how the file is written."""
LONGEST_NAME = 64
"""A longer cell in the first row is a value, not the name of a column."""
REGULAR_SHARE = 0.9
"""Share of sampled rows that must have one number of cells for a delimiter to be believed."""
COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?")

Rows = list[list[str]]


@dataclass(frozen=True)
class Dialect:
    """How to cut a text table into cells and what they are called."""

    names: tuple[str, ...]
    """Column names."""
    skip_lines: int
    """Lines before the first row of data."""
    delimiter: str
    """One character, or BLANK for runs of blanks."""
    quote: bool
    """Whether double quotes enclose cells."""
    decimal: str
    """Decimal mark."""
    missing: tuple[str, ...]
    """Spellings of a missing value."""
    strip: bool
    """Whether blanks around cells are removed."""
    notes: tuple[str, ...] = ()

    @property
    def cut(self) -> bytes:
        """The byte between cells once runs of blanks are made one tab."""
        return b"\t" if self.delimiter == BLANK else self.delimiter.encode()


def find_dialect(path: Path, sample: str, options: ReadSpec, usual: str, pair: Callable[[], bool]) -> Dialect:
    """The dialect of a text table from its beginning; `usual` is the delimiter its suffix promises.

    `pair` tells whether the quotes of a tab file pair over its whole stream; asked only where it matters.

    Raises: DataError for an empty file, a bad delimiter, or names that are no header.
    """
    if not sample.strip().strip("\ufeff"):
        raise DataError(f"{path} must hold at least one row", "an empty file", "Name a file with data")
    delimiter = _delimiter(path, sample, options, usual)
    notes: tuple[str, ...] = ()
    if delimiter != usual and not options.delimiter:
        notes += (f"cells are separated by {_word(delimiter)}",)
    quote = delimiter != BLANK if options.quote is None else options.quote
    if options.quote is None and delimiter == "\t" and not pair():
        quote = False
        notes += ("quotes do not pair, so they are read as letters",)
    rows, lines = _cells(sample, delimiter, quote)
    decimal = options.decimal or _decimal(rows, delimiter)
    if decimal != "." and options.decimal is None:
        notes += ("numbers are written with a decimal comma",)
    missing = (("",) if options.keep_usual else USUAL_MISSING) + options.missing
    names, skip_lines, header_notes = _header(path, rows, lines, options, missing, decimal)
    missing = tuple(dict.fromkeys(missing))
    return Dialect(names, skip_lines, delimiter, quote, decimal, missing, options.strip, notes + header_notes)


def _word(delimiter: str) -> str:
    return {"\t": "tabs", BLANK: "blanks"}.get(delimiter, f"'{delimiter}'")


def _cells(sample: str, delimiter: str, quote: bool) -> tuple[Rows, list[int]]:
    """The sampled rows that are not blank, and the number of lines up to the end of each."""
    if delimiter == BLANK:
        found = [(line.split(), place + 1) for place, line in enumerate(sample.split("\n")) if line.strip()]
        return [row for row, _ in found[:MOST_SAMPLED]], [line for _, line in found[:MOST_SAMPLED]]
    rows, lines = Rows(), list[int]()
    # lines end at \n alone, as they are counted elsewhere; a bare \r is a letter like others here
    lone = sample.replace("\r\n", "\n").replace("\r", " ")
    reader = csv.reader(
        io.StringIO(lone, newline="\n"), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    )
    for row in reader:
        if row:
            rows.append([cell.strip() for cell in row])
            lines.append(reader.line_num)
        if len(rows) == MOST_SAMPLED:
            break
    return rows, lines


def _delimiter(path: Path, sample: str, options: ReadSpec, usual: str) -> str:
    if options.delimiter is not None:
        given = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
        if given != BLANK and (len(given.encode()) != 1 or given in '"\r\n'):
            raise DataError(
                f"{path} data.delimiter must be one ASCII character or 'blank'", repr(given), "Use , ; | or tab"
            )
        return given
    best, best_score = usual, (0.0, 0, 0)
    for candidate in (usual, *DELIMITERS, BLANK):
        if candidate == BLANK and usual != BLANK and best_score[0] >= REGULAR_SHARE:
            continue
        rows, _ = _cells(sample, candidate, candidate not in ("\t", BLANK) and options.quote is not False)
        width, times = Counter(len(row) for row in rows).most_common(1)[0] if rows else (0, 0)
        share = times / max(len(rows), 1)
        if candidate == BLANK and not _all_numbers(rows):
            continue
        if width > 1 and share >= REGULAR_SHARE:
            score = (round(share, 2), int(candidate == usual), width)
            best, best_score = (candidate, score) if score > best_score else (best, best_score)
    return best


def _all_numbers(rows: Rows) -> bool:
    """Whether text cut at blanks is a table: every cell after the first row, which may be names, is a number."""
    return all(is_number(cell) for row in rows[1:] or rows for cell in row)


def looks_like_table(sample: str) -> bool:
    """Whether plain text is a table in disguise: all lines have one number of tabs, or are numbers in columns."""
    lines = [line for line in sample.split("\n") if line.strip()][:MOST_SAMPLED]
    tabs = {line.count("\t") for line in lines}
    if len(lines) < 2:
        return False
    if len(tabs) == 1 and tabs != {0}:
        return True
    rows = [line.replace(",", " ").replace(";", " ").split() for line in lines]
    return len(rows[0]) > 1 and len({len(row) for row in rows}) == 1 and _all_numbers(rows)


def is_number(cell: str) -> bool:
    """Whether a cell spells a number or a usual missing value."""
    try:
        float(cell)
    except ValueError:
        return cell in USUAL_MISSING or cell == "?"
    return True


def _decimal(rows: Rows, delimiter: str) -> str:
    """A decimal comma shows where a column is numbers with commas throughout; never where commas separate cells."""
    if delimiter == ",":
        return "."
    for column in zip(*(row for row in rows[1:] if len(row) == len(rows[0])), strict=True):
        values = [cell for cell in column if cell not in USUAL_MISSING]
        if any("," in cell for cell in values) and all(COMMA_NUMBER.fullmatch(cell) for cell in values):
            return ","
    return "."


def _header(
    path: Path, rows: Rows, lines: list[int], options: ReadSpec, missing: tuple[str, ...], decimal: str
) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """Column names, the lines to leave out, and what to tell."""
    first = rows[0]
    if isinstance(options.header, tuple):
        repeated = tuple(first) == options.header
        notes = ("its first row repeats data.header and is left out",) if repeated else ()
        return _checked(path, options.header), lines[0] if repeated else 0, notes
    present = options.header if options.header is not None else _has_header(rows, missing, decimal)
    if present:
        names = tuple(name or f"column_{place}" for place, name in enumerate(first, start=1))
        unnamed = [name for name, found in zip(names, first, strict=True) if not found]
        notes = (f"columns without a name are called {listed(unnamed)}",) if unnamed else ()
        return _checked(path, names), lines[0], notes
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    names = tuple(f"column_{place}" for place in range(1, width + 1))
    told = f"no header row; columns are called {names[0]} to {names[-1]} (or give data.header)"
    return names, 0, () if options.header is False else (told,)


def _checked(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        got = f"{listed(repr(name) for name in twice)} more than once"
        raise DataError(f"{path} must name each column once", got, "Rename one, or give data.header a list of names")
    return names


def _has_header(rows: Rows, missing: Sequence[str], decimal: str) -> bool:
    """Whether the first row is names: it differs in kind from its columns, or no value repeats it."""
    first, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    if any(len(cell) > LONGEST_NAME for cell in first):
        return False
    if not body:
        return not any(is_number(cell) for cell in first)
    votes = -int(len(set(first)) < len(first))
    for name, column in zip(first, zip(*body, strict=True), strict=True):
        if name not in missing:
            votes += _vote(name, column, missing, decimal)
    return votes >= 0


def _vote(name: str, column: Iterable[str], missing: Sequence[str], decimal: str) -> int:
    """+1 if the first cell looks like a name above this column, -1 if like one more value, 0 if it cannot be told."""
    values = [None if cell in missing else cell for cell in column]
    kind = text_kind(text_array(values), decimal)
    if pa.types.is_null(kind):
        return 0
    if not pa.types.is_string(kind):
        fits = join(text_kind(text_array([name]), decimal), kind) == kind
        return -1 if fits else 1
    distinct = set(values)
    if name in distinct:
        return -1
    return int(2 * len(distinct) <= len(values))
