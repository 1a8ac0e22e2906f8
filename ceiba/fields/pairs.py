"""Two texts in one row: lists of two strings, as a question and what may answer it."""

import pyarrow as pa
import pyarrow.compute as pc

from ceiba.base.errors import DataError
from ceiba.fields.columns import plain

CLASS, SEPARATOR = "[CLS]", "[SEP]"
"""What stands before a pair, and behind each of its texts."""


def is_pair(kind: pa.DataType) -> bool:
    """Whether a column of this type holds pairs of texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and (pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)))


def parted(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The first and the second text of each row; a missing row has two missing ones.

    Raises: DataError for a row with another number of texts.
    """
    column = plain(column)
    lengths = pc.fill_null(pc.list_value_length(column), 2).cast(pa.int64())
    if wrong := pc.index(pc.not_equal(lengths, 2), True).as_py() + 1:
        raise DataError("must hold pairs of texts", f"{lengths[wrong - 1]} texts in row {wrong}", "Give each row two")
    known = column.drop_null()
    texts = known.flatten()
    rows = pc.is_valid(column)
    # The place of each row among the known ones, null where there is none.
    place = pc.if_else(rows, pc.subtract(pc.cumulative_sum(rows.cast(pa.int64())), 1), pa.scalar(None, pa.int64()))
    first = pc.multiply(place, 2)
    return texts.take(first), texts.take(pc.add(first, 1))


def joined(column: pa.Array) -> pa.Array:
    """Both texts as one, with a blank between them."""
    first, second = parted(column)
    return pc.utf8_trim_whitespace(pc.binary_join_element_wise(pc.fill_null(first, ""), pc.fill_null(second, ""), " "))
