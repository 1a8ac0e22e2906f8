"""Delimited text (csv, tsv, UCI .data): parsed in segments by threads, settled over the whole stream, spooled."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from ceiba.base.cores import usable_cores
from ceiba.base.errors import DataError
from ceiba.read.content import content_hash
from ceiba.read.decode import Text, examine
from ceiba.read.dialect import BLANK, Dialect, find_dialect
from ceiba.read.frame import Frame, derived
from ceiba.read.kinds import FALSE, TRUE, clean, converted, join, text_array, text_kind
from ceiba.read.rows import Segment, line_at, row_cells, segments
from ceiba.read.spec import ReadSpec
from ceiba.read.spool import Settled, spooled

VERSION = "delimited 2"
"""Raised with every change that reads the same bytes differently, so that older spools are not reused."""
MOST_THREADS = 8
REPEATS = 8
"""How often each text value of the first segment must occur on average for the column to be kept as a dictionary."""
MOST_CODED = 1 << 12
"""Different values of a column that is kept as a dictionary, at most."""
CODED = pa.dictionary(pa.int32(), pa.string())
LONGEST_SHOWN = 80
TAB_CELL = re.compile(rb'(?:^|[\t\n\r])"(?:[^"]|"")*"(?=[\t\r\n]|$)')
TAB_OPEN = re.compile(rb'(?:^|[\t\n\r])"')

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Plan:
    """How one column is read: its kind, whether its text must be cleaned before it converts, and whether its text is
    kept as a dictionary."""

    kind: pa.DataType
    cleaned: bool = False
    coded: bool = False

    @property
    def kept_as(self) -> pa.DataType:
        """The Arrow type that is written."""
        return CODED if self.coded else self.kind

    def join(self, other: "Plan") -> "Plan":
        """The plan that reads the values of both."""
        kind = join(self.kind, other.kind)
        is_text = pa.types.is_string(kind)
        coded = [plan.coded for plan in (self, other) if pa.types.is_string(plan.kind)]
        return Plan(kind, (self.cleaned or other.cleaned) and not is_text, is_text and bool(coded) and all(coded))


Plans = tuple[Plan, ...]


@dataclass
class Parsed:
    """One segment as a batch, the plans that fit it, and how many ragged rows it had."""

    batch: pa.RecordBatch
    plans: Plans
    skipped: int = 0
    first_skipped: int | None = None


def read_delimited(path: Path, options: ReadSpec) -> Frame:
    """A delimited text file as a frame; kinds hold over the whole file, whatever its size.

    Raises: DataError for a ragged row, an unclosed quote, bytes that are no text, an empty file, a doubled name.
    """
    kept = options.model_dump_json(exclude={"files", "damaged", "format", "table", "query", "text_column"})

    @cache
    def started() -> _Build:
        text = examine(path, options.encoding)
        sample = text.sample()
        dialect = find_dialect(path, sample, options, _usual_delimiter(path), lambda: quotes_pair(text))
        return _Build(text, dialect, options.ragged == "skip")

    identity = derived(content_hash(path, meanwhile=started), VERSION, kept, _usual_delimiter(path))
    return spooled(identity, str(path), lambda target: started().write(target))


def _usual_delimiter(path: Path) -> str:
    return "\t" if {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes} else ","


def quotes_pair(text: Text) -> bool:
    """Whether every quote that opens a cell of a tab file has its pair at that cell's end, over the whole stream."""
    if not text.has_quotes:
        return True
    line_blocks = segments(text, b"\t", quote=False)
    return all(len(TAB_OPEN.findall(part.data)) == len(TAB_CELL.findall(part.data)) for part in line_blocks)


def ordered(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The work on each item, done by threads a few items ahead, given in order."""
    threads = min(MOST_THREADS, usable_cores())
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _Build:
    """One settling of one file."""

    def __init__(self, text: Text, dialect: Dialect, skip_ragged: bool):
        self.text, self.dialect, self.skip_ragged = text, dialect, skip_ragged
        self.names = list(dialect.names)

    def write(self, target: Path) -> Settled:
        """Read by the kinds of the first segment; where a later one widens a kind, read again by the wider ones."""
        plans = tuple(Plan(pa.null()) for _ in self.names)
        for first in self.segments():
            plans = self.infer(self.parse(first, None))
            break
        while True:
            settled, wider = self._pass(target, plans)
            if wider == plans:
                return settled
            plans = wider

    def _pass(self, target: Path, plans: Plans) -> tuple[Settled, Plans]:
        """Write the file with these plans as far as they hold; the plans that hold for all of it."""
        schema = pa.schema(list(zip(self.names, (plan.kept_as for plan in plans), strict=True)))
        num_rows, skipped, first_skipped, wider = 0, 0, None, plans
        values = {name: _Values() for name, plan in zip(self.names, plans, strict=True) if plan.coded}
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, schema, options=options) as writer:
            for parsed in ordered(lambda segment: self.settle(segment, plans), self.segments()):
                wider = tuple(ours.join(theirs) for ours, theirs in zip(wider, parsed.plans, strict=True))
                num_rows += parsed.batch.num_rows
                skipped += parsed.skipped
                first_skipped = first_skipped or parsed.first_skipped
                if wider == plans:
                    columns = zip(self.names, parsed.batch.columns, strict=True)
                    arrays = [values[name].coded(one) if name in values else one for name, one in columns]
                    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
                    wider = tuple(
                        replace(plan, coded=plan.coded and not values[name].is_full)
                        for name, plan in zip(self.names, wider, strict=True)
                    )
        notes = self.text.notes + self.dialect.notes
        if skipped:
            notes += (f"{skipped} ragged rows skipped, the first at line {first_skipped}",)
        return Settled(num_rows, notes), wider

    def segments(self) -> Iterator[Segment]:
        """Segments of data rows: without the header, runs of blanks made one tab."""
        skip = self.dialect.skip_lines
        for segment in segments(self.text, self._row_delimiter(), self.dialect.quote):
            yield _without_lines(segment, skip) if skip else segment
            skip = 0

    def _row_delimiter(self) -> bytes:
        return b" " if self.dialect.delimiter == BLANK else self.dialect.cut

    def _one_delimiter(self, data: bytes) -> bytes:
        if self.dialect.delimiter != BLANK:
            return data
        return b"\n".join([b"\t".join(line.split()) for line in data.split(b"\n")])

    def settle(self, segment: Segment, plans: Plans) -> Parsed:
        """A segment read by the plans where they hold, else by wider ones."""
        try:
            return self.parse(segment, plans)
        except pa.ArrowInvalid:
            here = self.infer(self.parse(segment, None))
        wider = tuple(ours.join(theirs) for ours, theirs in zip(plans, here, strict=True))
        try:
            return self.parse(segment, wider)
        except pa.ArrowInvalid:
            # the parts fit, the join does not (a moment with a zone among others): verbatim text holds anything
            pairs = zip(plans, here, strict=True)
            return self.parse(segment, tuple(p if p == h else Plan(pa.string()) for p, h in pairs))

    def infer(self, parsed: Parsed) -> Plans:
        """The plans that fit a segment that was read without plans."""
        plans = []
        for column in parsed.batch.columns:
            if not pa.types.is_string(column.type):
                plans.append(Plan(pa.string() if pa.types.is_time(column.type) else column.type))
                continue
            values = clean(column, self.dialect.missing, strip=True)
            kind = text_kind(values, self.dialect.decimal)
            is_text = pa.types.is_string(kind)
            plans.append(Plan(kind, not is_text, is_text and len(values.unique()) * REPEATS <= len(values)))
        return tuple(plans)

    def parse(self, segment: Segment, plans: Plans | None) -> Parsed:
        """Cells to Arrow: by the plans, or by Arrow's own inference without them.

        Raises: pa.ArrowInvalid where a value does not fit its plan; DataError for a ragged row.
        """
        data = self._one_delimiter(segment.data)
        if (not data or data.isspace()) and not data.strip(b"\r\n"):
            plans = plans or tuple(Plan(pa.null()) for _ in self.names)
            empty = [pa.nulls(0, plan.kept_as) for plan in plans]
            return Parsed(pa.RecordBatch.from_arrays(empty, self.names), plans)
        ragged: list[pacsv.InvalidRow] = []
        table = pacsv.read_csv(
            pa.BufferReader(data),
            pacsv.ReadOptions(column_names=self.names, use_threads=False, block_size=len(data) + 1),
            self._parse_options(ragged),
            self._convert_options(plans),
        )
        if ragged and not self.skip_ragged:
            raise self._ragged_error(segment, ragged[0])
        batch = self._batch(table, plans)
        line = self._ragged_line(segment) if ragged else None
        return Parsed(batch, plans or (), len(ragged), line)

    def _parse_options(self, ragged: list[pacsv.InvalidRow]) -> pacsv.ParseOptions:
        def note(row: pacsv.InvalidRow) -> str:
            ragged.append(row)
            return "skip"

        quote = '"' if self.dialect.quote else False
        return pacsv.ParseOptions(
            delimiter=self.dialect.cut.decode(), quote_char=quote, newlines_in_values=True, invalid_row_handler=note
        )

    def _convert_options(self, plans: Plans | None) -> pacsv.ConvertOptions:
        missing = self.dialect.missing
        if self.dialect.strip:
            missing = tuple(
                dict.fromkeys(form for word in missing for form in (word, " " + word, word + " ", f" {word} "))
            )
        types = None
        if plans is not None:
            read_as = (pa.string() if plan.cleaned else plan.kind for plan in plans)
            types = dict(zip(self.names, read_as, strict=True))
        return pacsv.ConvertOptions(
            column_types=types, null_values=list(missing), strings_can_be_null=True, true_values=list(TRUE),
            false_values=list(FALSE), decimal_point=self.dialect.decimal,
        )  # fmt: skip

    def _batch(self, table: pa.Table, plans: Plans | None) -> pa.RecordBatch:
        columns = []
        for place, column in enumerate(table.columns):
            values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
            plan = plans[place] if plans is not None else Plan(column.type)
            if plan.coded:
                values = self._coded(values)
            elif pa.types.is_string(values.type):
                cleaned = clean(values, self.dialect.missing, strip=self.dialect.strip or plan.cleaned)
                values = converted(cleaned, plan.kind, self.dialect.decimal) if plan.cleaned else cleaned
                if values is None:
                    raise pa.ArrowInvalid(f"column {place} does not convert")
            columns.append(values)
        return pa.RecordBatch.from_arrays(columns, self.names)

    def _coded(self, values: pa.Array) -> pa.Array:
        """Text as a dictionary that is cleaned once a value: two of its values may then be alike, or missing."""
        values = values.dictionary_encode()
        cleaned = clean(values.dictionary, self.dialect.missing, strip=self.dialect.strip)
        return pa.DictionaryArray.from_arrays(values.indices, cleaned)

    def _ragged_line(self, segment: Segment) -> int:
        """The line of the first ragged row of a segment; taking runs of blanks together keeps the lines."""
        data = self._one_delimiter(segment.data)
        starts, cells = row_cells(data, self.dialect.cut[0], self.dialect.quote)
        wrong = np.flatnonzero(cells != len(self.names))
        within = data.count(b"\n", 0, int(starts[wrong[0]])) if len(wrong) else 0
        return line_at(self.text, segment.start) + within

    def _ragged_error(self, segment: Segment, row: pacsv.InvalidRow) -> DataError:
        shown = row.text if len(row.text) <= LONGEST_SHOWN else row.text[:LONGEST_SHOWN] + "..."
        return DataError(
            f"{self.text.path}:{self._ragged_line(segment)} must have {row.expected_columns} cells",
            f"{row.actual_columns} in {shown!r}",
            "Mend the row, or set data.ragged: skip; check data.delimiter and data.quote if every row is wrong",
        )


class _Values:
    """The different values of one text column in the order they are met."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.known = text_array(())

    @property
    def is_full(self) -> bool:
        """Whether they are too many for a dictionary."""
        return len(self.places) > MOST_CODED

    def coded(self, column: pa.Array) -> pa.Array:
        """A segment's dictionary column by the values of the whole stream; a value that is missing is none."""
        met = column.dictionary.to_pylist()
        places = [None if value is None else self.places.setdefault(value, len(self.places)) for value in met]
        if not self.places:
            self.places[""] = 0  # Arrow's files cannot extend an empty dictionary; no cell is "": it would be missing
        if len(self.places) > len(self.known):
            self.known = text_array(tuple(self.places))
        return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()).take(column.indices), self.known)


def _without_lines(segment: Segment, lines: int) -> Segment:
    end = 0
    for _ in range(lines):
        found = segment.data.find(b"\n", end)
        end = found + 1 if found >= 0 else len(segment.data)
    return Segment(segment.data[end:], segment.start + end)
