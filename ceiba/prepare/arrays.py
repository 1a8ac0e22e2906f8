"""Arrays: the encoded data set, memory-mapped. Encoded once, in one pass, in memory that does not grow with rows."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError, nearest
from ceiba.base.keys import generator
from ceiba.fields import TEACHER, Encoded, Fields, Ragged, TokenField, Windows
from ceiba.fields.columns import as_numbers
from ceiba.fields.slices import first_bad_row, slice_rows, sliced
from ceiba.prepare.stream import language_of, pack_stream, windows_of
from ceiba.read import Frame, cache_folder
from ceiba.read.cache import built_once

CODE_VERSION = "1"
"""Raised whenever fields encode the same rows to other bytes, so that no older cache is taken for new."""
INDEX = "arrays.json"
MOST_THREADS = 8
ROWS, WEIGHT, TARGET, PART = "rows", "weight", "target:", "part:"

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Arrays:
    """Encoded rows, mapped read-only from a folder."""

    folder: Path
    num_rows: int
    parts: dict[str, Array | Ragged | Windows] = field(repr=False)
    """Part name → (row, ...), Ragged, or windows on a stream."""
    targets: dict[str, Array | Ragged | Windows] = field(repr=False)
    """Output name → (row,) or (row, class); of tags Ragged; of a text that is its own target, windows on it."""
    weight: NDArray[np.float32] | None = field(repr=False)
    """Each row's weight in the loss, or nothing where all weigh alike."""
    rows: NDArray[np.int64] = field(repr=False)
    """Each row's position in the file it came from: its address for keyed randomness."""

    @cached_property
    def known(self) -> frozenset[str]:
        """The outputs whose target no row lacks: no negative class and no NaN."""
        return frozenset(name for name, target in self.targets.items() if _is_known(target))

    def at_epoch(self, seed: int, epoch: int) -> "Arrays":
        """The same rows; a stream is cut into windows at other places in each epoch, as far as it has room."""
        room = {one.room for one in self.targets.values() if isinstance(one, Windows)}
        if not room:
            return self
        by = int(generator(seed, "windows", epoch).integers(min(room) + 1))
        parts, targets = (
            {name: one.moved(by) if isinstance(one, Windows) else one for name, one in side.items()}
            for side in (self.parts, self.targets)
        )
        return replace(self, parts=parts, targets=targets)


def _is_known(target: Array | Ragged | Windows) -> bool:
    if isinstance(target, Windows):
        return target.is_full
    if isinstance(target, Ragged):
        return False
    return bool(np.all(target >= 0 if target.dtype.kind in "iu" else np.isfinite(target)))


def prepare_arrays(
    frame: Frame,
    fields: Fields,
    weight: str | None = None,
    cache: Path | None = None,
    rows: NDArray[np.int64] | None = None,
    training: bool = False,
) -> Arrays:
    """Encode a frame into memory-mapped arrays, or map those that an earlier run made of the same data and fields.

    `rows` are the positions of the frame's rows in the file they came from; 0, 1, ... when left out. A text that is its
    own target becomes a stream of tokens, whose rows are windows on it: for training only full ones.

    Raises: DataError for a value that a field or the weight cannot take, naming column and row.
    """
    if weight is not None and weight not in frame.names:
        raise DataError(
            f"{frame.origin} must have the column '{weight}'", "none of that name", nearest(weight, frame.names)
        )
    entry = (cache or cache_folder()) / "arrays" / _identity(frame, fields, weight, rows)
    if (name := language_of(fields)) is not None:
        return _language(frame, name, fields, entry, training)
    arrays = _mapped(built_once(entry, lambda folder: _build(folder, frame, fields, weight, rows)))
    taught = {f"{name}.{TEACHER}": arrays.targets[name] for name in written_of(fields)}
    return replace(arrays, parts=arrays.parts | taught)


def written_of(fields: Fields) -> tuple[str, ...]:
    """The outputs that are written token by token."""
    return tuple(name for name, one in fields.outputs.items() if getattr(one, "written", False))


def _language(frame: Frame, name: str, fields: Fields, entry: Path, training: bool) -> Arrays:
    one = fields.inputs[name]
    assert isinstance(one, TokenField)
    windows = windows_of(pack_stream(frame, name, one, entry), one.max_tokens, whole=not training)
    ahead = windows if one.masked else replace(windows, start=1)
    return Arrays(entry, len(windows), {f"{name}.ids": windows}, {name: ahead}, None, np.arange(len(windows)))


def _identity(frame: Frame, fields: Fields, weight: str | None, rows: NDArray[np.int64] | None) -> str:
    """A name made of the content of the data, everything that was learnt, and the version of the code that encodes."""
    steps = [CODE_VERSION, frame.identity, json.dumps(fields.to_json(), sort_keys=True), str(weight)]
    steps += [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in sorted(fields.files().items())]
    steps.append("" if rows is None else hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest())
    return hashlib.sha256("\x1f".join(steps).encode()).hexdigest()[:32]


def _build(folder: Path, frame: Frame, fields: Fields, weight: str | None, rows: NDArray[np.int64] | None) -> None:
    with ExitStack() as stack:
        writers: dict[str, _Writer] = {}
        done = 0
        for encoded in _encoded(frame, fields, weight, rows):
            for name, values in encoded.items():
                if name not in writers:
                    writers[name] = stack.enter_context(_Writer(folder, f"{len(writers):04d}", values))
                writers[name].write(values)
            done += len(next(iter(encoded.values())))
        assert done == frame.num_rows
        if rows is not None:
            own = np.ascontiguousarray(rows, dtype=np.int64)
            writers[ROWS] = stack.enter_context(_Writer(folder, f"{len(writers):04d}", own))
            writers[ROWS].write(own)
    index = {"num_rows": frame.num_rows, "files": {name: writer.index() for name, writer in writers.items()}}
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def _encoded(frame: Frame, fields: Fields, weight: str | None, rows: NDArray[np.int64] | None) -> Iterator[Encoded]:
    """Encoded slices in order; a few are worked on at a time, so memory holds a few slices."""
    columns = tuple(dict.fromkeys((*fields.read, *fields.outputs, *([weight] if weight else []))))

    def encode(batch: pa.RecordBatch, start: int) -> Encoded:
        try:
            return _encode(batch, fields, weight)
        except DataError as error:
            row = first_bad_row(lambda part: _encode(part, fields, weight), batch)
            raise error.at(f"{frame.origin} row {(start + row if rows is None else rows[start + row]) + 1},") from error

    threads = max(1, min(os.cpu_count() or 1, MOST_THREADS))
    start = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="ceiba-encode") as pool:
        waiting: deque[Future[Encoded]] = deque()
        for batch in sliced(frame.batches(columns, coded=True), slice_rows(fields)):
            waiting.append(pool.submit(encode, batch, start))
            start += batch.num_rows
            if len(waiting) > threads:
                yield waiting.popleft().result()
        if not waiting and start == 0:
            empty = pa.RecordBatch.from_pylist([], schema=frame.select(columns).schema)
            yield encode(empty, 0)
        while waiting:
            yield waiting.popleft().result()


def _encode(batch: pa.RecordBatch, fields: Fields, weight: str | None) -> Encoded:
    encoded: Encoded = {PART + name: values for name, values in fields.encode(batch).items()}
    targets = fields.targets(batch)
    for name, values in targets.items():
        if isinstance(values, Ragged) and name not in written_of(fields):
            _word_for_word(name, values, encoded)
    encoded |= {TARGET + name: values for name, values in targets.items()}
    if weight is not None:
        values = as_numbers(batch.column(weight))
        if not (values >= 0).all():
            bad = int(np.argmin(values >= 0))
            raise DataError(
                f"column '{weight}' must hold weights of 0 or more", values[bad], "Mend or clip the weights"
            )
        encoded[WEIGHT] = values
    return encoded


def _word_for_word(name: str, tags: Ragged, encoded: Encoded) -> None:
    """Raises: DataError for a row that has not a tag for each word."""
    for part, words in encoded.items():
        if isinstance(words, Ragged) and (wrong := np.flatnonzero(words.lengths != tags.lengths)).size:
            row = int(wrong[0])
            raise DataError(
                f"column '{name}' must have a tag for each word of '{part.removeprefix(PART).split('.')[0]}'",
                f"{tags.lengths[row]} tags, {words.lengths[row]} words", "Mend the row",
            )  # fmt: skip


class _Writer:
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

    def __enter__(self) -> "_Writer":
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


def _mapped(folder: Path) -> Arrays:
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    num_rows = int(index["num_rows"])
    found = {name: _map_one(folder, entry, num_rows) for name, entry in index["files"].items()}
    plain = {name: array for name, array in found.items() if not isinstance(array, Ragged)}
    return Arrays(
        folder=folder,
        num_rows=num_rows,
        parts={name.removeprefix(PART): array for name, array in found.items() if name.startswith(PART)},
        targets={name.removeprefix(TARGET): array for name, array in found.items() if name.startswith(TARGET)},
        weight=plain.get(WEIGHT),
        rows=plain[ROWS] if ROWS in plain else np.arange(num_rows),
    )


def _map_one(folder: Path, entry: dict[str, Any], num_rows: int) -> Array | Ragged:
    values = _map(folder / f"{entry['file']}.values", entry["dtype"], (entry["values"], *entry["shape"]))
    if not entry["ragged"]:
        return values
    return Ragged(values, _map(folder / f"{entry['file']}.offsets", "<i8", (num_rows + 1,)))


def _map(path: Path, dtype: str, shape: tuple[int, ...]) -> Array:
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    # a plain array over the map: numpy's memmap class would slow every slice
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", shape=shape))
