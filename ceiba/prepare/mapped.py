"""Arrays in files: written slice by slice, mapped into memory."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.cores import usable_cores
from ceiba.base.errors import DataError
from ceiba.base.positions import Marked
from ceiba.fields import Ragged
from ceiba.fields.slices import first_bad_row, sliced
from ceiba.read import Frame

INDEX = "arrays.json"
MOST_THREADS = 8
TARGET, PART = "target:", "part:"
"""What the names of targets and of inputs begin with."""

Array = NDArray[Any]
Made = TypeVar("Made")


def in_slices(
    frame: Frame,
    columns: Sequence[str],
    slice_rows: int,
    encode: Callable[[pa.RecordBatch], Made],
    rows: Marked | None = None,
) -> Iterator[Made]:
    """Encoded slices in order; a few are worked on at a time, so memory holds a few slices.

    Raises: DataError for a row that `encode` refuses, naming it by its place among `rows` of the file.
    """

    def make(batch: pa.RecordBatch, start: int) -> Made:
        try:
            return encode(batch)
        except DataError as error:
            row = start + first_bad_row(encode, batch)
            raise error.at(f"{frame.origin} row {(row if rows is None else rows.positions()[row]) + 1},") from error

    threads = min(usable_cores(), MOST_THREADS)
    start = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="ceiba-encode") as pool:
        waiting: deque[Future[Made]] = deque()
        for batch in sliced(frame.batches(columns, coded=True), slice_rows):
            waiting.append(pool.submit(make, batch, start))
            start += batch.num_rows
            if len(waiting) > threads:
                yield waiting.popleft().result()
        if not waiting and start == 0:
            empty = pa.RecordBatch.from_pylist([], schema=frame.select(columns).schema)
            yield make(empty, 0)
        while waiting:
            yield waiting.popleft().result()


def write_index(folder: Path, num_rows: int, writers: Mapping[str, "Writer"], **more: Any) -> None:
    """What mapping the files again needs."""
    index = {"num_rows": num_rows, "files": {name: writer.index() for name, writer in writers.items()}, **more}
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


class Writer:
    """One array, or the two of a Ragged, appended to raw files batch by batch."""

    def __init__(self, folder: Path, name: str, first: Array | Ragged):
        self.is_ragged = isinstance(first, Ragged)
        values = first.values if isinstance(first, Ragged) else first
        self.name, self.dtype, self.shape = name, values.dtype.str, list(values.shape[1:])
        self.rows = self.total = 0
        self.values = (folder / f"{name}.values").open("wb")
        self.offsets: BinaryIO | None = (folder / f"{name}.offsets").open("wb") if self.is_ragged else None
        if self.offsets:
            self.offsets.write(np.zeros(1, dtype=np.int64).tobytes())

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.values.close()
        if self.offsets:
            self.offsets.close()

    def write(self, part: Array | Ragged) -> None:
        """Append one batch."""
        values = part.values if isinstance(part, Ragged) else part
        assert values.dtype.str == self.dtype
        assert list(values.shape[1:]) == self.shape
        if isinstance(part, Ragged) and self.offsets:
            offsets = part.offsets.astype(np.int64) - part.offsets[0]
            values = values[part.offsets[0] : part.offsets[-1]]
            self.offsets.write((offsets[1:] + self.total).tobytes())
        self.values.write(np.ascontiguousarray(values).data)  # numpy's own tofile hides the system's error
        self.rows += len(part)
        self.total += len(values)

    def index(self) -> dict[str, Any]:
        """What mapping the files again needs."""
        return {
            "file": self.name,
            "dtype": self.dtype,
            "shape": self.shape,
            "values": self.total,
            "ragged": self.is_ragged,
        }


def map_one(folder: Path, entry: dict[str, Any], num_rows: int) -> Array | Ragged:
    """The array that a `Writer` wrote and its index describes."""
    values = _map(folder / f"{entry['file']}.values", entry["dtype"], (entry["values"], *entry["shape"]))
    if not entry["ragged"]:
        return values
    return Ragged(values, _map(folder / f"{entry['file']}.offsets", "<i8", (num_rows + 1,)))


def _map(path: Path, dtype: str, shape: tuple[int, ...]) -> Array:
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    # a plain array over the map: numpy's memmap class would slow every slice
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", shape=shape))
