"""Arrow values of any type → the few forms that fields work on.

A value has one form, however it arrives: 39, 39.0, "39" and " 39 " are equal, so are null, NaN and "", so are a
dictionary-encoded column and a plain one, and so are float32 and float64. Encoding in training and in serving rests
on that.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError

SHOWN_CHARACTERS = 40
WHOLE_BELOW = 2.0**63
FARTHEST = 1e6
MISSING_TEXT = ("", "nan", "NaN")
TRUTH = {"true": "true", "True": "true", "TRUE": "true", "false": "false", "False": "false", "FALSE": "false"}


def shown(value: object) -> str:
    """A value as an error message quotes it: short, on one line."""
    text = str(value)
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return "'" + "".join(mark if mark.isprintable() else "�" for mark in cut) + "'"


def plain(array: pa.Array) -> pa.Array:
    """One array without dictionaries, extension types and chunks."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type) or pa.types.is_large_string(array.type):
        array = array.cast(pa.string())
    return array


def no_values(rule: str) -> DataError:
    """What a fit raises when no row holds a value."""
    return DataError(rule, "only missing values", "Remove the column from inputs and outputs")


def bad_value(rule: str, value: object, row: int | None = None) -> DataError:
    """What is raised for a value of another kind; a row counts from 0 here and from 1 in the message."""
    place = "" if row is None else f" in row {row + 1}"
    return DataError(f"must {rule}", f"{shown(value)}{place}", f"Add {shown(value)} to data.missing")


def as_numbers(array: pa.Array, start: int | None = None) -> NDArray[np.float32]:
    """Numbers, booleans or text that spells them → float32, NaN where missing.

    Values are rounded to float32 before anything is computed, so a float32 and a float64 column encode alike.
    `start` is the first row's number, for the message.

    Raises: DataError for text that spells no number, and for numbers that float32 cannot hold.
    """
    array = given = plain(array)
    kind = array.type
    if pa.types.is_string(kind):
        array = _parse(array, start)
    elif pa.types.is_decimal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        array = array.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError("must hold numbers", f"the Arrow type {kind}", "Name another type for it, or leave it out")
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = array.to_numpy(zero_copy_only=False).astype(np.float32)
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        rule = "be a finite number below 3.4e38"
        raise bad_value(rule, given[row].as_py(), None if start is None else start + row)
    return values


def _parse(strings: pa.Array, start: int | None) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(strings)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if _is_numeric(trimmed):
        return trimmed.cast(pa.float64())
    truth = pc.index_in(trimmed, value_set=pa.array(list(TRUTH)))
    as_digit = pc.take(pa.array(["1" if word == "true" else "0" for word in TRUTH.values()]), truth)
    trimmed = pc.coalesce(as_digit, trimmed)
    if _is_numeric(trimmed):
        return trimmed.cast(pa.float64())
    row = _first_bad(trimmed)
    raise bad_value("be a number", strings[row].as_py(), None if start is None else start + row)


def _is_numeric(strings: pa.Array) -> bool:
    try:
        strings.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _first_bad(strings: pa.Array) -> int:
    """The first row that is no number, by halving."""
    low, high = 0, len(strings)
    while high - low > 1:
        middle = (low + high) // 2
        if _is_numeric(strings[low:middle]):
            low = middle
        else:
            high = middle
    return low


def as_encoded(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scaled values → float32; one that is far outside the fitted range stops at FARTHEST, and 0.0 turns -0 into 0."""
    return (np.clip(values, -FARTHEST, FARTHEST) + 0.0).astype(np.float32)


def number_stream(column: Iterable[pa.Array]) -> Iterator[NDArray[np.float32]]:
    """A column's chunks as numbers; an error names the row."""
    start = 0
    for chunk in column:
        yield as_numbers(chunk, start)
        start += len(chunk)


def as_text(array: pa.Array) -> pa.Array:
    """Single values of any type → strings; a whole number has no fraction, a missing number is null.

    Raises: DataError for lists, structures and bytes that are not UTF-8.
    """
    array = plain(array)
    kind = array.type
    if pa.types.is_floating(kind):
        return _float_text(array)
    if pa.types.is_nested(kind):
        raise DataError(
            "must hold single values", f"the Arrow type {kind}", "Use the type set or vector, or leave it out"
        )
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            "must hold text", f"the Arrow type {kind}", "Name another type for it, or leave it out"
        ) from error


def _float_text(array: pa.Array) -> pa.Array:
    wide = array.cast(pa.float64())
    values = wide.to_numpy(zero_copy_only=False)
    is_whole = (np.abs(values) < WHOLE_BELOW) & (np.floor(values) == values)
    whole = pa.array(np.where(is_whole, values, 0.0).astype(np.int64)).cast(pa.string())
    text = pc.if_else(pa.array(is_whole), whole, array.cast(pa.string()))
    return pc.if_else(pa.array(np.isnan(values)), pa.scalar(None, pa.string()), text)


def as_labels(array: pa.Array) -> pa.Array:
    """Single values → the text that names them as a category: trimmed, "39.0" as 39, "True" as true, null if missing.

    Text that spells a number otherwise ("1.10", "007") is kept: it may be a version or a code.
    """
    text = pc.utf8_trim_whitespace(as_text(array))
    text = pc.replace_substring_regex(text, pattern=r"^([+-]?\d+)\.0*$", replacement=r"\1")
    text = pc.coalesce(
        pc.take(pa.array(list(TRUTH.values())), pc.index_in(text, value_set=pa.array(list(TRUTH)))), text
    )
    return pc.if_else(pc.is_in(text, value_set=pa.array(MISSING_TEXT)), pa.scalar(None, pa.string()), text)


def spelled_alike(labels: pa.Array) -> pa.Array:
    """Labels that spell a number in another way ("0.50", "1e2") → the way a number column spells it; others null."""
    loose = pc.match_substring_regex(labels, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    numbers = pc.if_else(loose, labels, pa.scalar(None, pa.string())).cast(pa.float64())
    return _float_text(numbers)


def distinct_labels(array: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """For each row a place in a short list of labels (-1 = null), and that list; text is handled once a value."""
    rows, values = distinct_values(array)
    return rows, as_labels(values)


def label_stream(column: Iterable[pa.Array]) -> Iterator[tuple[NDArray[np.int64], pa.Array]]:
    """`distinct_labels` of each chunk; chunks with one dictionary share its labels."""
    values = labels = pa.nulls(0)
    for chunk in column:
        rows, found = distinct_values(chunk)
        if not found.equals(values):
            values, labels = found, as_labels(found)
        yield rows, labels


def distinct_values(array: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """For each row a place in a short list of values (-1 = null), and that list: an Arrow dictionary as it is."""
    if isinstance(array, pa.ChunkedArray):
        array = plain(array)
    if not pa.types.is_dictionary(array.type):
        array = plain(array)
        if pa.types.is_nested(array.type) or pa.types.is_null(array.type):
            array = as_text(array)
        array = array.dictionary_encode()
    places = array.indices
    if places.null_count:
        places = pc.fill_null(places.cast(pa.int64()), -1)
    return places.to_numpy(zero_copy_only=False).astype(np.int64), array.dictionary
