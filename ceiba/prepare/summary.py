"""One pass over a frame → what each column holds. Memory is bounded whatever the number of rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.clean.hashing import hash_values
from ceiba.fields.instants import FORMATS, as_instants
from ceiba.read import Frame

SKETCH = 4096
"""Smallest hashes kept: up to so many distinct values are counted exactly, more are estimated."""
MOST_VALUES = 10_000
"""Values whose counts are kept."""
NEW_VALUES = 1000
"""Values of one batch, the most frequent ones, that may be added to them."""
SHOWN_CHARACTERS = 200
MOST_DATE_CHARACTERS = 40
LOOKED_AT = 2000
"""Values of a batch at most that are looked at for how they are spelled."""
IMAGE_SIGNS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
IMAGE_NAME = r"(?i)\.(jpe?g|png|gif|bmp|webp|tiff?)$"
LETTERS_WITHOUT_BLANKS = r"[\x{0e00}-\x{0eff}\x{3040}-\x{30ff}\x{3400}-\x{9fff}\x{ac00}-\x{d7af}]"
"""Thai, Lao, Japanese, Chinese, Korean: scripts in which blanks do not cut a text into short words."""


@dataclass
class Summary:
    """What one column holds, over all rows."""

    name: str
    type: pa.DataType
    rows: int = 0
    missing: int = 0
    distinct: int = 0
    """Number of different values, missing ones not counted."""
    is_exact: bool = True
    """Whether `distinct` was counted and not estimated."""
    counts: dict[object, int] = field(default_factory=dict)
    """The frequent values and how often they occur; all values where they are few."""
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None
    first: str | None = None
    """Dates: the earliest."""
    last: str | None = None
    """Dates: the latest."""
    is_whole: bool = True
    """Numbers: whether none has a fraction."""
    is_rising: bool = True
    """Numbers: whether each is above the one before and none is missing."""
    words: float = 0.0
    """Text: mean number of words in a value."""
    characters: float = 0.0
    """Text: mean number of characters in a value."""
    most_characters: int = 0
    spells_numbers: bool = False
    spells_dates: bool = False
    without_blanks: float = 0.0
    """Text: share of values in a script that does not part words by blanks."""
    image_names: float = 0.0
    """Text: share of values that end like the name of an image file."""
    is_image: bool = False
    length: int | None = None
    """Lists: the length of all, if it is one."""

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    def top(self, count: int) -> list[tuple[object, int]]:
        """The most frequent values, equals in the order of their text."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], str(item[0])))[:count]


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds single numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def summarize(frame: Frame, names: Sequence[str] | None = None) -> dict[str, Summary]:
    """Summaries of all or some columns, from one pass over the frame."""
    chosen = tuple(frame.names if names is None else names)
    gatherers = [_Gatherer(Summary(name, frame.schema.field(name).type)) for name in chosen]
    for batch in frame.batches(chosen, coded=True):
        for gatherer, column in zip(gatherers, batch.columns, strict=True):
            gatherer.add(column)
    return {gatherer.summary.name: gatherer.done() for gatherer in gatherers}


class _Gatherer:
    """The running state behind one Summary."""

    def __init__(self, summary: Summary):
        self.summary = summary
        self.hashes = np.empty(0, dtype=np.uint64)
        self.is_full = False
        self.squares = self.total = self.words = self.characters = 0.0
        self.last = -math.inf
        self.spelled: dict[str, list[float]] = {"without_blanks": [], "image_names": []}
        self.numbers = pa.types.is_string(summary.type)
        self.dates: tuple[str, ...] = FORMATS if self.numbers else ()
        self.lengths: set[int] = set()

    def add(self, column: pa.Array) -> None:
        """Count one batch in."""
        summary, kind = self.summary, self.summary.type
        if pa.types.is_floating(kind):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        summary.rows += len(column)
        summary.missing += column.null_count
        known = column.drop_null() if column.null_count else column
        if column.null_count or len(column) == 0:
            summary.is_rising = summary.is_rising and len(column) == 0
        if len(known) == 0:
            return
        if pa.types.is_nested(kind):
            self.lengths.update(pc.unique(pc.list_value_length(known)).to_pylist()[:3])
            if not pa.types.is_fixed_size_list(kind):
                self._sketch(hash_values(known))
        elif pa.types.is_binary(kind):
            summary.is_image = known[0].as_py().startswith(IMAGE_SIGNS)
        else:
            if pa.types.is_temporal(kind):
                self._time(known)
            values, rows = _counted(known)
            self._sketch(hash_values(values))
            self._count(values, rows)
            if pa.types.is_string(kind):
                self._text(values, rows)
            elif is_number(kind):
                self._number(known)

    def _sketch(self, hashes: NDArray[np.uint64]) -> None:
        """Keep the smallest hashes.

        Source: Bar-Yossef et al. 2002, "Counting distinct elements in a data stream", algorithm 1.
        """
        if self.is_full:
            hashes = hashes[hashes < self.hashes[-1]]
        if len(hashes):
            self.hashes = np.unique(np.concatenate([self.hashes, hashes]))
            self.is_full = self.is_full or len(self.hashes) > SKETCH
            self.hashes = self.hashes[:SKETCH]

    def _count(self, values: pa.Array, counts: NDArray[np.int64]) -> None:
        known = self.summary.counts
        frequent = np.argsort(-counts, kind="stable")[:NEW_VALUES]
        for value, count in zip(values.take(pa.array(frequent)).to_pylist(), counts[frequent].tolist(), strict=True):
            shown = value[:SHOWN_CHARACTERS] if isinstance(value, str) else value
            if shown in known or len(known) < MOST_VALUES:
                known[shown] = known.get(shown, 0) + count

    def _text(self, values: pa.Array, counts: NDArray[np.int64]) -> None:
        lengths = np.asarray(pc.utf8_length(values))
        blanks = np.asarray(pc.count_substring(pc.utf8_trim_whitespace(values), " "))
        self.characters += float((lengths * counts).sum())
        self.words += float(((blanks + 1) * counts).sum())
        self.summary.most_characters = max(self.summary.most_characters, int(lengths.max()))
        self.numbers = self.numbers and _spells_numbers(values)
        some = values.slice(0, LOOKED_AT)
        self.dates = _date_formats(some, self.dates) if int(lengths.max()) <= MOST_DATE_CHARACTERS else ()
        for name, pattern in (("without_blanks", LETTERS_WITHOUT_BLANKS), ("image_names", IMAGE_NAME)):
            self.spelled[name].append(float(np.asarray(pc.match_substring_regex(some, pattern)).mean()))

    def _time(self, column: pa.Array) -> None:
        ends = pc.min_max(column).as_py()
        first, last = self.summary.first, self.summary.last
        self.summary.first = str(ends["min"]) if first is None else min(first, str(ends["min"]))
        self.summary.last = str(ends["max"]) if last is None else max(last, str(ends["max"]))

    def _number(self, column: pa.Array) -> None:
        summary = self.summary
        values = np.asarray(column.cast(pa.float64()))
        finite = values[np.isfinite(values)]
        if len(finite) < len(values):
            summary.is_whole = summary.is_rising = False
        if len(finite) == 0:
            return
        count, mean = len(finite), float(finite.mean())
        shift, before = mean - (summary.mean or 0.0), self.total
        self.total += count
        self.squares += float(((finite - mean) ** 2).sum()) + shift * shift * before * count / self.total
        summary.mean = (summary.mean or 0.0) + shift * count / self.total
        low, high = float(finite.min()), float(finite.max())
        summary.low = low if summary.low is None else min(summary.low, low)
        summary.high = high if summary.high is None else max(summary.high, high)
        summary.is_whole = summary.is_whole and bool((finite == np.trunc(finite)).all())
        if summary.is_rising:
            summary.is_rising = bool(finite[0] > self.last and (np.diff(finite) > 0).all())
            self.last = float(finite[-1])

    def done(self) -> Summary:
        """The summary of all that was counted in."""
        summary = self.summary
        summary.distinct, summary.is_exact = len(self.hashes), not self.is_full
        if pa.types.is_binary(summary.type) or pa.types.is_fixed_size_list(summary.type):
            summary.distinct, summary.is_exact = summary.known, False  # pixels and vectors are not compared
        elif self.is_full:
            estimate = (SKETCH - 1) * 2.0**64 / float(self.hashes[-1])
            summary.distinct = min(max(round(estimate), SKETCH), summary.known)
        if summary.known:
            summary.words, summary.characters = self.words / summary.known, self.characters / summary.known
            summary.spells_numbers, summary.spells_dates = self.numbers, bool(self.dates) and not self.numbers
            for name, shares in self.spelled.items():
                setattr(summary, name, float(np.mean(shares)) if shares else 0.0)
        if self.total:
            summary.std = math.sqrt(self.squares / self.total)
        summary.is_rising = summary.is_rising and summary.known > 0 and is_number(summary.type)
        summary.length = next(iter(self.lengths)) if len(self.lengths) == 1 else None
        return summary


def _counted(known: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """The different values of a column without missing ones, and in how many rows each stands."""
    encoded = known if pa.types.is_dictionary(known.type) else known.dictionary_encode()
    rows = np.bincount(np.asarray(encoded.indices), minlength=len(encoded.dictionary))
    met = np.flatnonzero(rows)  # a dictionary may hold what these rows do not
    return encoded.dictionary.take(pa.array(met)), rows[met]


def _spells_numbers(values: pa.Array) -> bool:
    try:
        values.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _date_formats(values: pa.Array, formats: tuple[str, ...]) -> tuple[str, ...]:
    """The formats of dates, among these, that fit all values."""
    if not np.asarray(pc.match_substring_regex(values, r"\d{2}")).all():
        return ()
    return tuple(one for one in formats if not as_instants(values, one, None, None, strict=True)[1].any())
