"""Columns of lists of words."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields.columns import as_text


def as_words(column: pa.Array) -> tuple[list[str], NDArray[np.int64]]:
    """All words one after another, and where each row's begin and end; a missing row has none.

    A row is a list of texts, or one text whose words are parted by blanks.

    Raises: DataError for a column of anything else, or a word that is missing or empty.
    """
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lists = column
    elif pa.types.is_null(kind):
        lists = column.cast(pa.list_(pa.string()))
    else:
        text = pc.utf8_trim_whitespace(pc.fill_null(as_text(column), ""))
        lists = pc.utf8_split_whitespace(pc.if_else(pc.equal(text, ""), None, text))
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    words = as_text(pc.list_flatten(lists))
    if words.null_count or pc.any(pc.equal(words, "")).as_py():
        raise DataError("must hold words", "one that is missing or empty", "Write a word for each place of a list")
    return words.to_pylist(), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
