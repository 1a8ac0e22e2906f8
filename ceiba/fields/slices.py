"""Batches cut for encoding: into slices that take bounded memory, or down to the row that cannot be encoded."""

from collections.abc import Callable, Iterator

import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.fields.field import ImageLayout, TableLayout, WordsLayout
from ceiba.fields.record import Fields

SLICE_BYTES = 16 << 20
"""About what a slice takes once it is encoded."""
NUMBER_BYTES = 4
TOKEN_BYTES = 8
MANY_TOKENS = 1024
"""A text seldom has more, whatever its limit."""
MANY_WORDS = 100
"""The same of a sentence."""


def slice_rows(fields: Fields, slice_bytes: int = SLICE_BYTES) -> int:
    """How many encoded rows take about so many bytes; one at least."""
    row_bytes = 1
    for layout in fields.layouts().values():
        if isinstance(layout, ImageLayout):
            row_bytes += layout.height * layout.width * layout.channels
        elif isinstance(layout, TableLayout):
            row_bytes += NUMBER_BYTES * (layout.num_numbers + len(layout.cardinalities))
        elif isinstance(layout, WordsLayout):
            row_bytes += NUMBER_BYTES * MANY_WORDS * (1 + layout.max_characters)
        else:
            row_bytes += TOKEN_BYTES * min(layout.max_tokens, MANY_TOKENS)
    return max(1, slice_bytes // row_bytes)


def sliced(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches in slices of at most so many rows; smaller ones are left as they are."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def first_bad_row(encode: Callable[[pa.RecordBatch], object], batch: pa.RecordBatch) -> int:
    """The position of the first row that `encode` refuses, by halving: a row encodes alike alone and among others."""
    low, high = 0, batch.num_rows
    while high - low > 1:
        middle = (low + high) // 2
        try:
            encode(batch.slice(low, middle - low))
            low = middle
        except DataError:
            high = middle
    return low
