"""Which row of a batch it is that cannot be encoded."""

from collections.abc import Callable

import pyarrow as pa

from ceiba.base.errors import DataError


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
