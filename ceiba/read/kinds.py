"""The kind of a column of text values: what it is over all rows, found chunk by chunk and joined."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

USUAL_MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "n/a", "nan", "null",
)  # fmt: skip
"""What pandas takes for missing, but for None, which is an ordinary word in categories."""
BLANKS = " \t"
FEW = 16
FEW_VALUES = 2000
TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
NUMBERS = (pa.int64(), pa.float64())
MOMENTS = (pa.date32(), pa.timestamp("s"), pa.timestamp("ns"))
ZONED = (pa.timestamp("s", "UTC"), pa.timestamp("ns", "UTC"))


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Text as an Arrow array, few values by its buffers: `pa.array` would import pandas where that is installed."""
    if len(values) > FEW_VALUES:
        return pa.array(values, pa.string())
    parts = [b"" if value is None else value.encode() for value in values]
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum([len(part) for part in parts], dtype=np.int32)])
    present = np.packbits([value is not None for value in values], bitorder="little") if None in values else None
    buffers = [None if present is None else pa.py_buffer(present), pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(pa.string(), len(parts), buffers)


def join(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """The narrowest kind that holds the values of both; text holds anything."""
    if left == right or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    for ladder in (NUMBERS, MOMENTS, ZONED):
        if left in ladder and right in ladder:
            return ladder[max(ladder.index(left), ladder.index(right))]
    if pa.types.is_list(left) and pa.types.is_list(right):
        return pa.list_(join(left.value_type, right.value_type))
    return pa.string()


def clean(values: pa.Array, missing: Sequence[str], strip: bool) -> pa.Array:
    """Text without blanks around it, and null where it spells a missing value."""
    if strip:
        trimmed = pc.utf8_trim(values, BLANKS)
        if trimmed.nbytes == values.nbytes:
            return values
        values = trimmed
    is_missing = pc.is_in(values, text_array(missing))
    return pc.replace_with_mask(values, is_missing, pa.nulls(1, pa.string()))


def text_kind(values: pa.Array, decimal: str = ".", numbers: bool = True) -> pa.DataType:
    """The kind of cleaned text: whole numbers, numbers, true/false, dates, moments; text where none of them fits."""
    if values.null_count == len(values):
        return pa.null()
    # a cast that fails goes through all values first, so a few values rule out most kinds
    few = values.slice(0, FEW * 8).drop_null().slice(0, FEW) if values.null_count else values.slice(0, FEW)
    for kind in (*NUMBERS, pa.bool_(), *MOMENTS, *ZONED) if numbers else (*MOMENTS, *ZONED):
        if converted(few, kind, decimal) is not None and converted(values, kind, decimal) is not None:
            return kind
    return pa.string()


def converted(values: pa.Array, kind: pa.DataType, decimal: str = ".") -> pa.Array | None:
    """Cleaned text as a kind; None where a value does not fit."""
    if pa.types.is_boolean(kind) and not pc.all(pc.is_in(values, text_array((*TRUE, *FALSE, None)))).as_py():
        return None
    if pa.types.is_float64(kind) and decimal != ".":
        values = pc.replace_substring(values, decimal, ".")
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return None
