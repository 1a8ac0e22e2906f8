"""Arrays: the encoded data set, memory-mapped. Encoded once, in one pass, in memory that does not grow with rows."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError, nearest
from ceiba.base.keys import generator
from ceiba.base.positions import Marked, positions
from ceiba.fields import TEACHER, ChatField, Encoded, Fields, Ragged, TokenField, Windows
from ceiba.fields.columns import as_numbers
from ceiba.fields.slices import slice_rows
from ceiba.prepare.chat import build_chats
from ceiba.prepare.mapped import INDEX, PART, TARGET, Writer, in_slices, map_one, write_index
from ceiba.prepare.stream import language_of, pack_stream, windows_of
from ceiba.read import Frame, cache_folder
from ceiba.read.cache import built_once

CODE_VERSION = "1"
"""Raised whenever fields encode the same rows to other bytes, so that no older cache is taken for new."""
ROWS, WEIGHT = "rows", "weight"

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
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of chats: how many there are, are cut, are left out, and how many tokens are learnt."""

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
    rows: Marked | None = None,
    training: bool = False,
) -> Arrays:
    """Encode a frame into memory-mapped arrays, or map those that an earlier run made of the same data and fields.

    `rows` are the frame's rows in the file they came from; 0, 1, ... when left out. A text that is its
    own target becomes a stream of tokens, whose rows are windows on it: for training only full ones.

    Raises: DataError for a value that a field or the weight cannot take, naming column and row.
    """
    if weight is not None and weight not in frame.names:
        raise DataError(
            f"{frame.origin} must have the column '{weight}'", "none of that name", nearest(weight, frame.names)
        )
    entry = (cache or cache_folder()) / "arrays" / _identity(frame, fields, weight, rows)
    if (name := language_of(fields)) is not None:
        if isinstance(one := fields.inputs[name], ChatField):
            return _mapped(built_once(entry, lambda folder: build_chats(folder, frame, name, one)))
        return _language(frame, name, fields, entry, training)
    arrays = _mapped(built_once(entry, lambda folder: _build(folder, frame, fields, weight, rows)))
    taught = {f"{name}.{TEACHER}": arrays.targets[name] for name in written_of(fields)}
    return replace(arrays, parts=arrays.parts | taught)


def with_parts(
    arrays: Arrays, identity: str, made: Callable[[], Iterator[Mapping[str, Array]]], cache: Path | None = None
) -> Arrays:
    """The same rows with further parts that a network makes of them, slice by slice, once for an identity."""
    named = hashlib.sha256(f"{arrays.folder.name}\x1f{identity}".encode()).hexdigest()[:32]

    def build(folder: Path) -> None:
        slices: Iterator[Encoded] = (
            {PART + name: one.astype(np.float32) for name, one in some.items()} for some in made()
        )
        _write(folder, slices, arrays.num_rows, None)

    more = _mapped(built_once((cache or cache_folder()) / "arrays" / named, build))
    return replace(arrays, parts=arrays.parts | more.parts)


def written_of(fields: Fields) -> tuple[str, ...]:
    """The outputs that are written token by token."""
    return tuple(name for name, one in fields.outputs.items() if getattr(one, "written", False))


def _language(frame: Frame, name: str, fields: Fields, entry: Path, training: bool) -> Arrays:
    one = fields.inputs[name]
    assert isinstance(one, TokenField)
    windows = windows_of(pack_stream(frame, name, one, entry), one.max_tokens, whole=not training)
    ahead = windows if one.hides else replace(windows, start=1)
    return Arrays(entry, len(windows), {f"{name}.ids": windows}, {name: ahead}, None, positions(len(windows)))


def _identity(frame: Frame, fields: Fields, weight: str | None, rows: Marked | None) -> str:
    """A name made of the content of the data, everything that was learnt, and the version of the code that encodes."""
    steps = [CODE_VERSION, frame.identity, json.dumps(fields.to_json(), sort_keys=True), str(weight)]
    steps += [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in sorted(fields.files().items())]
    steps.append("" if rows is None else hashlib.sha256(rows.bits.data).hexdigest())
    return hashlib.sha256("\x1f".join(steps).encode()).hexdigest()[:32]


def _build(folder: Path, frame: Frame, fields: Fields, weight: str | None, rows: Marked | None) -> None:
    columns = tuple(dict.fromkeys((*fields.read, *fields.outputs, *([weight] if weight else []))))
    slices = in_slices(frame, columns, slice_rows(fields), lambda batch: _encode(batch, fields, weight), rows)
    _write(folder, slices, frame.num_rows, rows)


def _write(folder: Path, slices: Iterator[Encoded], num_rows: int, rows: Marked | None) -> None:
    with ExitStack() as stack:
        writers: dict[str, Writer] = {}
        done = 0
        for encoded in slices:
            for name, values in encoded.items():
                if name not in writers:
                    writers[name] = stack.enter_context(Writer(folder, f"{len(writers):04d}", values))
                writers[name].write(values)
            done += len(next(iter(encoded.values())))
        assert done == num_rows
        if rows is not None:
            for own in rows.blocks():
                if ROWS not in writers:
                    writers[ROWS] = stack.enter_context(Writer(folder, f"{len(writers):04d}", own))
                writers[ROWS].write(own)
    write_index(folder, num_rows, writers)


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


def _mapped(folder: Path) -> Arrays:
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    num_rows = int(index["num_rows"])
    found = {name: map_one(folder, entry, num_rows) for name, entry in index["files"].items()}
    plain = {name: array for name, array in found.items() if not isinstance(array, Ragged)}
    return Arrays(
        folder=folder,
        num_rows=num_rows,
        parts={name.removeprefix(PART): array for name, array in found.items() if name.startswith(PART)},
        targets={name.removeprefix(TARGET): array for name, array in found.items() if name.startswith(TARGET)},
        weight=plain.get(WEIGHT),
        rows=plain[ROWS] if ROWS in plain else positions(num_rows),
        counts=index.get("counts", {}),
    )
