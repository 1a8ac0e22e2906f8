"""A date, with or without a time of day."""

import dataclasses
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError, RecipeError, nearest
from ceiba.fields.bins import Bins, fit_edges
from ceiba.fields.columns import as_encoded, bad_value, no_values
from ceiba.fields.field import Encoded, Field, FieldSpec, Target
from ceiba.fields.instants import FORMATS, ISO, Instants, as_instants, pattern
from ceiba.fields.sample import Moments, Sample

CYCLES = {"month": 12, "monthday": 31, "weekday": 7, "yearday": 366, "daytime": 1440}
"""Steps of each cycle: months, days, days, days, minutes."""
AUTO_CYCLES = ("monthday", "weekday", "yearday", "daytime")
ELAPSED = "elapsed"
SECOND, DAY = 1_000_000, 86_400_000_000
THURSDAY = 3  # the weekday of 1970-01-01, Monday being 0


def cycle_steps(instants: Instants, cycle: str) -> NDArray[np.int64]:
    """Where in its cycle each instant is, from 0."""
    microseconds = instants.astype(np.int64)
    if cycle == "daytime":
        return microseconds % DAY // (60 * SECOND)
    days, months = microseconds // DAY, instants.astype("M8[M]")
    if cycle == "weekday":
        return (days + THURSDAY) % 7
    if cycle == "month":
        return months.astype(np.int64) % 12
    first = months if cycle == "monthday" else instants.astype("M8[Y]")
    return days - first.astype("M8[D]").astype(np.int64)


@dataclass(frozen=True)
class DateField(Field):
    """Dates → time elapsed (standardized), and the sine and cosine of each calendar cycle."""

    kind: ClassVar[str] = "date"

    format: str
    unit: str | None
    timezone: str | None
    parts: tuple[str, ...]
    mean: float
    std: float
    indicator: bool
    edges: tuple[float, ...]

    @cached_property
    def _circles(self) -> dict[str, NDArray[np.float32]]:
        """The sine and cosine of every step, computed once, so that they are the same bits in any row."""
        return {
            name: np.array(
                [[math.sin(math.tau * step / steps), math.cos(math.tau * step / steps)] for step in range(steps)],
                dtype=np.float32,
            )
            for name, steps in CYCLES.items()
            if name in self.parts
        }

    def encode(self, column: pa.Array) -> Encoded:
        instants, wrong = as_instants(column, self.format, self.unit, self.timezone)
        if wrong.any():
            raise bad_value(f"be a date as {spoken(self.format)}", column[int(wrong.argmax())].as_py())
        missing = np.isnat(instants)
        filled = np.where(missing, np.datetime64(0, "us"), instants)
        columns: list[NDArray[np.float32]] = []
        for name in self.parts:
            found = self.elapsed(filled)[:, None] if name == ELAPSED else self._circles[name][cycle_steps(filled, name)]
            columns.append(np.where(missing[:, None], np.float32(0), found))
        if self.indicator:
            columns.append(missing[:, None].astype(np.float32))
        return {"numbers": np.concatenate(columns, axis=1).astype(np.float32)}

    def elapsed(self, instants: Instants) -> NDArray[np.float32]:
        """Days since 1970, standardized."""
        return as_encoded((instants.astype(np.int64) / DAY - self.mean) / self.std)

    def number_parts(self) -> tuple[str, ...]:
        names = [
            f" {name}{wave}" for name in self.parts for wave in (("",) if name == ELAPSED else (" sine", " cosine"))
        ]
        return (*names, " is missing") if self.indicator else tuple(names)

    def bin_edges(self) -> tuple[tuple[float, ...], ...]:
        return tuple(self.edges if name == f" {ELAPSED}" else () for name in self.number_parts())


class DateSpec(FieldSpec):
    """A column of dates."""

    field_class: ClassVar[type[Field]] = DateField

    type: Literal["date"] = "date"
    """The kind of the column."""
    format: str | None = None
    """Form of text, as in strptime (`%d/%m/%Y`); null: found in training. ISO 8601 is always understood."""
    unit: Literal["s", "ms", "us"] | None = None
    """What numbers count since 1970; null: numbers are written dates (20240131)."""
    timezone: str | None = None
    """The clock on which instants with a time zone are read, as in `Europe/Vienna`; null: UTC."""
    parts: tuple[str, ...] | Literal["auto"] = "auto"
    """Of elapsed, month, monthday, weekday, yearday, daytime; `auto`: those that vary in training, but for month."""
    indicator: bool | Literal["auto"] = "auto"
    """Whether a column marks missing dates; `auto`: if training rows miss some."""
    bins: Bins | None = Bins()
    """Pieces of the time elapsed, for encoders that use them; null for none."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> DateField:
        self._check()
        readings: list[Reading] = []
        start = 0
        for chunk in column:
            if not start:
                readings = [Reading(one, self.unit, self.timezone, seed) for one in self._formats(chunk)]
            wrong = [one.add(chunk) for one in readings]
            if None not in wrong:
                row = max(place for place in wrong if place is not None)
                rule = f"be a date as {' or '.join(spoken(one.format) for one in readings[:2])}"
                raise bad_value(rule, chunk[row].as_py(), start + row)
            readings = [one for one, row in zip(readings, wrong, strict=True) if row is None]
            start += len(chunk)
        if not readings or readings[0].moments.count == 0:
            raise no_values("must hold a date")
        return self._field(only(readings), start, target, seed)

    def _check(self) -> None:
        """Raises: RecipeError for a directive, a part or a time zone that is unknown."""
        if self.format is not None:
            pattern(self.format)
        if not self.parts:
            raise RecipeError("parts must name a part of a date", "none", "Write auto, or leave the column out")
        for part in () if self.parts == "auto" else self.parts:
            if part not in (ELAPSED, *CYCLES):
                raise RecipeError("parts must be parts of a date", f"'{part}'", nearest(part, (ELAPSED, *CYCLES)))
        if self.timezone is not None and self.timezone not in available_timezones():
            do = nearest(self.timezone, available_timezones())
            raise RecipeError("timezone must name a time zone", f"'{self.timezone}'", do)

    def _formats(self, chunk: pa.Array) -> tuple[str, ...]:
        if self.format is not None:
            return (self.format,)
        return (ISO,) if self.unit or pa.types.is_temporal(chunk.type) else FORMATS

    def _field(self, reading: "Reading", num_rows: int, target: Target | None, seed: int) -> DateField:
        mean, std = reading.moments.settle()
        varying = [name for name in AUTO_CYCLES if reading.lows[name] < reading.highs[name]]
        unbinned = DateField(
            format=reading.format,
            unit=self.unit,
            timezone=self.timezone,
            parts=(ELAPSED, *varying) if self.parts == "auto" else self.parts,
            mean=mean,
            std=std,
            indicator=reading.moments.count < num_rows if self.indicator == "auto" else self.indicator,
            edges=(),
        )
        instants = reading.sample.values()
        known = ~np.isnat(instants)
        edges = fit_edges(self.bins, unbinned.elapsed(instants[known]), known, target, seed)
        return dataclasses.replace(unbinned, edges=edges if ELAPSED in unbinned.parts else ())


class Reading:
    """What is learnt from a stream if its text is read in one format."""

    def __init__(self, format: str, unit: str | None, timezone: str | None, seed: int):
        self.format, self.unit, self.timezone = format, unit, timezone
        self.moments, self.sample, self.checksum = Moments(), Sample(seed=seed), 0
        self.lows, self.highs = dict.fromkeys(CYCLES, max(CYCLES.values())), dict.fromkeys(CYCLES, -1)

    def add(self, chunk: pa.Array) -> int | None:
        """Count a chunk in; the first row that has another form is told, and then nothing counts."""
        instants, wrong = as_instants(chunk, self.format, self.unit, self.timezone, strict=True)
        if wrong.any():
            return int(wrong.argmax())
        known = instants[~np.isnat(instants)]
        self.moments.add(known.astype(np.int64) / DAY)
        self.sample.add(instants)
        self.checksum = zlib.crc32(instants.tobytes(), self.checksum)
        for name in CYCLES:
            steps = cycle_steps(known, name)
            self.lows[name] = min(self.lows[name], int(steps.min(initial=self.lows[name])))
            self.highs[name] = max(self.highs[name], int(steps.max(initial=-1)))
        return None


def spoken(format: str) -> str:
    """A format as a message names it."""
    return "2024-01-31 (ISO 8601)" if format == ISO else format


def only(readings: list[Reading]) -> Reading:
    """The one reading of a column.

    Raises: DataError if two formats fit every row and read them differently.
    """
    for other in readings[1:]:
        if other.checksum != readings[0].checksum:
            both = f"both {readings[0].format} and {other.format}"
            raise DataError("must have dates that can be read in one way", both, "Set its format to one of them")
    return readings[0]
