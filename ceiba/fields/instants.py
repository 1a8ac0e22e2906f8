"""Dates and times of any form → instants in microseconds."""

import functools
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError, RecipeError
from ceiba.fields.columns import MISSING_TEXT, as_text, plain

ISO = "iso"
FORMATS = (
    ISO, "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y.%m.%d", "%Y%m%d", "%Y-%m", "%Y",
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p",
    "%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%m-%d-%Y", "%d-%m-%Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y",
)  # fmt: skip
"""What is tried on text, the first of equals winning."""
DIRECTIVES = {
    "Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{1,2}", "d": r"\d{1,2}", "H": r"\d{1,2}", "I": r"\d{1,2}", "M": r"\d{1,2}",
    "S": r"\d{1,2}", "f": r"\d{1,6}", "p": r"[AaPp][Mm]", "b": r"[A-Za-z]{3,9}\.?", "B": r"[A-Za-z]{3,9}\.?",
}  # fmt: skip
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
RANGES = {"m": (1, 12), "d": (1, 31), "H": (0, 23), "I": (1, 12), "M": (0, 59), "S": (0, 60)}
CENTURY_TURNS = 69  # two digits below it are of this century, as in POSIX strptime
UNIT_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
MISSING = np.datetime64("NaT", "us")

Instants = NDArray[np.datetime64]


def as_instants(
    array: pa.Array, format: str, unit: str | None, timezone: str | None, strict: bool = False
) -> tuple[Instants, NDArray[np.bool_]]:
    """Instants on one clock (UTC or the time zone named), NaT where missing, and where a value is no date.

    A value without a time zone is taken to be on that clock already. Text is read by its format, else (unless
    `strict`) by ISO 8601.
    """
    array = plain(array)
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), MISSING), np.zeros(len(array), np.bool_)
    if pa.types.is_temporal(kind) and not (pa.types.is_time(kind) or pa.types.is_duration(kind)):
        return _naive(array, timezone), np.zeros(len(array), np.bool_)
    if unit is not None:
        return _from_numbers(array, UNIT_MICROSECONDS[unit])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        array = as_text(array)  # 2020 and 20200131 are written without a separator
    if not pa.types.is_string(array.type):
        do = "Set its unit (s, ms or us since 1970) if these are dates, or name another type for it"
        raise DataError("must hold dates", f"the Arrow type {kind}", do)
    return _from_text(array, format, timezone, strict)


def _naive(array: pa.Array, timezone: str | None) -> Instants:
    """Arrow instants → the clock's reading."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.local_timestamp(array.cast(pa.timestamp(array.type.unit, timezone or "UTC")))
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        array = pc.floor_temporal(array, 1, "microsecond")
    try:
        instants: Instants = array.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise DataError("must hold dates that microseconds since 1970 can tell", str(error), "Clip them") from error
    return instants


def _from_numbers(array: pa.Array, microseconds: int) -> tuple[Instants, NDArray[np.bool_]]:
    if pa.types.is_string(array.type):
        text = pc.utf8_trim_whitespace(array)
        is_number = pc.match_substring_regex(text, r"^[+-]?\d{1,18}(\.\d+)?$")
        gone = pa.scalar(None, pa.string())
        bad = pc.fill_null(pc.and_(pc.invert(is_number), pc.invert(pc.is_in(text, pa.array(MISSING_TEXT)))), False)
        array, wrong = pc.if_else(is_number, text, gone), bad.to_numpy(zero_copy_only=False)
    else:
        wrong = np.zeros(len(array), np.bool_)
    counts = array.cast(pa.float64()).to_numpy(zero_copy_only=False) * microseconds
    out = np.abs(counts) >= 2.0**62
    wrong = wrong | out
    known = ~(np.isnan(counts) | out)
    instants = np.full(len(counts), MISSING)
    instants[known] = np.floor(counts[known]).astype(np.int64).astype("M8[us]")
    return instants, wrong


def _from_text(array: pa.Array, format: str, timezone: str | None, strict: bool) -> tuple[Instants, NDArray[np.bool_]]:
    text = pc.utf8_trim_whitespace(array)
    text = pc.if_else(pc.is_in(text, pa.array([*MISSING_TEXT, "NaT"])), pa.scalar(None, pa.string()), text)
    instants = _iso(text, timezone) if format == ISO or not strict else np.full(len(text), MISSING)
    if format != ISO:
        by_format = _by_format(text, format)
        instants = np.where(np.isnat(by_format), instants, by_format)
    return instants, np.isnat(instants) & text.is_valid().to_numpy(zero_copy_only=False)


def _iso(text: pa.Array, timezone: str | None) -> Instants:
    """ISO 8601, with or without a time, with or without a zone; else NaT."""
    gone = pa.scalar(None, pa.string())
    shape = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?$"
    text = pc.if_else(pc.match_substring_regex(text, shape), text, gone)
    if text.null_count == len(text):
        return np.full(len(text), MISSING)
    text = pc.replace_substring_regex(text, r"[.,](\d{1,6})\d*", r".\1")
    text = pc.replace_substring_regex(text, r" ?(Z|[+-]\d{2}(:?\d{2})?)$", r"\1") if _has_zone(text) else text
    zoned = pc.match_substring_regex(text, r":\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)$")
    plain_ones = _cast(pc.if_else(zoned, gone, text), pa.timestamp("us"))
    zoned_ones = _cast(pc.if_else(zoned, text, gone), pa.timestamp("us", "UTC"))
    return np.where(np.isnat(_naive(zoned_ones, timezone)), _naive(plain_ones, None), _naive(zoned_ones, timezone))


def _has_zone(text: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(text, r" (Z|[+-]\d{2}(:?\d{2})?)$")).as_py())


def _cast(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Text → instants; a day that no calendar has is null."""
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, kind)
        middle = len(text) // 2
        return pa.concat_arrays([_cast(text[:middle], kind), _cast(text[middle:], kind)])


@functools.cache
def pattern(format: str) -> str:
    """A strptime format → a regular expression with a named group a directive.

    Raises: RecipeError for a directive that is not understood.
    """
    result, parts = "", re.split(r"%(.)", format)
    for place, part in enumerate(parts):
        if place % 2 == 0:
            result += re.escape(part)
        elif part not in DIRECTIVES:
            raise RecipeError(
                "format must use the directives of strptime", f"'%{part}'", f"Use one of: %{' %'.join(DIRECTIVES)}"
            )
        else:
            alone = parts[place - 1] != "" or place == 1, parts[place + 1] != "" or place + 2 == len(parts)
            digits = DIRECTIVES[part] if all(alone) else DIRECTIVES[part].replace("{1,2}", "{2}")
            result += f"(?P<{part}>{digits})"
    return f"^{result}$"


def _by_format(text: pa.Array, format: str) -> Instants:
    """Text in one format → instants; what has another form, or names a day that no calendar has, is NaT."""
    found = pc.extract_regex(text, pattern(format))
    valid = found.is_valid().to_numpy(zero_copy_only=False)
    parts = {name: found.field(place) for place, name in enumerate(field.name for field in found.type)}
    numbers = {name: _part(name, values, valid) for name, values in parts.items()}
    for name, (low, high) in RANGES.items():
        if name in numbers:
            valid = valid & (numbers[name] >= low) & (numbers[name] <= high)
    year = numbers.get("Y", np.full(len(text), 1970))
    if "y" in numbers:
        year = numbers["y"] + np.where(numbers["y"] < CENTURY_TURNS, 2000, 1900)
    month = numbers.get("m", numbers.get("b", numbers.get("B", np.ones(len(text), np.int64))))
    valid = valid & (month > 0)
    first = ((year - 1970) * 12 + month - 1).astype("M8[M]")
    days = first.astype("M8[D]") + (numbers.get("d", np.ones(len(text), np.int64)) - 1)
    valid = valid & (days.astype("M8[M]") == first)
    hour = numbers.get("H", numbers.get("I", np.zeros(len(text), np.int64)) % 12 + 12 * numbers.get("p", np.int64(0)))
    seconds = hour * 3600 + numbers.get("M", np.int64(0)) * 60 + numbers.get("S", np.int64(0))
    instants = days.astype("M8[us]") + (seconds * 1_000_000 + numbers.get("f", np.int64(0))).astype("m8[us]")
    return np.where(valid, instants, MISSING)


def _part(name: str, values: pa.Array, valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One directive's text → its number; 0 where there is none."""
    text = pc.if_else(pa.array(valid), values, "0" if name not in "pbB" else "")
    if name in "bB":
        places = pc.index_in(pc.utf8_lower(pc.utf8_slice_codeunits(text, 0, 3)), pa.array(MONTHS))
        text = pc.add(pc.fill_null(places, -1), 1)
    elif name == "p":
        text = pc.equal(pc.utf8_lower(text), "pm")
    elif name == "f":
        text = pc.utf8_rpad(text, 6, "0")
    numbers: NDArray[np.int64] = text.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers
