"""Rows whose image cannot be read, where the recipe says that they are left out and not an error."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.fields import check_image
from ceiba.read import Frame


def readable_rows(frame: Frame) -> NDArray[np.int64]:
    """The rows in which every image file can be read; an absent one is no damage. Each is decoded once."""
    columns = [one.name for one in frame.schema if pa.types.is_binary(one.type) or pa.types.is_large_binary(one.type)]
    good = [np.ones(0, dtype=bool)]
    with ThreadPoolExecutor() as pool:
        for batch in frame.batches(columns) if columns else ():
            readable = np.ones(batch.num_rows, dtype=bool)
            for column in batch.columns:
                readable &= np.fromiter(pool.map(_is_readable, column), dtype=bool, count=batch.num_rows)
            good.append(readable)
    return np.flatnonzero(np.concatenate(good)) if columns else np.arange(frame.num_rows)


def _is_readable(cell: pa.Scalar) -> bool:
    return not cell.is_valid or check_image(cell.as_py()) is None
