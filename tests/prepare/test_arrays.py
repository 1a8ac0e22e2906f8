"""Arrays: the very bytes that fields encode, mapped, made once, all or nothing, whatever the batches."""

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base import files
from ceiba.base.errors import DataError, InputError
from ceiba.base.positions import Marked
from ceiba.fields import CategorySpec, Encoded, Field, Fields, NumberSpec, Ragged, TextLayout
from ceiba.fields.columns import as_text
from ceiba.prepare import Arrays, fit_fields, prepare_arrays
from ceiba.read import Frame, open_frame
from ceiba.read.cache import budget_bytes, make_room


@dataclass(frozen=True)
class Letters(Field):
    """A text field for tests: one id a byte."""

    kind: ClassVar[str] = "text"
    mark: str = ""

    def encode(self, column: pa.Array) -> Encoded:
        texts = [(value or "").encode() for value in as_text(column).to_pylist()]
        offsets = np.cumsum([0, *map(len, texts)])
        return {"ids": Ragged(np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int32), offsets)}

    def layout(self, name: str) -> TextLayout:
        return TextLayout(256, 1 << 20, weighted=False)


def frame_of(rows: int, batch_rows: int = 1000) -> Frame:
    """A frame in batches of some size."""
    rng = np.random.default_rng(rows)
    table = pa.table(
        {
            "age": pa.array([None if one < 0.1 else float(one) for one in rng.random(rows)], pa.float64()),
            "job": pa.array([f"job {int(one)}" for one in rng.integers(0, 5, rows)], pa.string()),
            "text": pa.array(["é" * int(one) for one in rng.integers(0, 9, rows)], pa.string()),
            "w": pa.array(rng.random(rows), pa.float64()),
            "y": pa.array([f"c{int(one)}" for one in rng.integers(0, 2, rows)], pa.string()),
        }
    )
    frame = open_frame(table)

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        chosen = table if columns is None else table.select(list(columns))
        return iter(chosen.to_batches(max_chunksize=batch_rows))

    return replace(frame, source=source)


def fields_of(frame: Frame) -> Fields:
    fitted = fit_fields(frame, {"age": NumberSpec(bins=None), "job": CategorySpec()}, {"y": CategorySpec()})
    return Fields({**fitted.inputs, "text": Letters()}, fitted.outputs)


def assert_same(arrays: Arrays, frame: Frame, fields: Fields) -> None:
    batch = frame.to_table().combine_chunks().to_batches()[0]
    expected = fields.encode(batch)
    assert set(arrays.parts) == set(expected)
    for name, part in expected.items():
        found = arrays.parts[name]
        if isinstance(part, Ragged):
            assert isinstance(found, Ragged)
            assert (found.values == part.values).all()
            assert (found.offsets == part.offsets).all()
            assert found.values.dtype == part.values.dtype
        else:
            assert (found == part).all()
            assert found.dtype == part.dtype
    for name, target in fields.targets(batch).items():
        assert (arrays.targets[name] == target).all()


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_the_bytes_are_those_that_fields_encode(tmp_path: Path, batch_rows: int) -> None:
    frame = frame_of(200, batch_rows)
    fields = fields_of(frame)
    arrays = prepare_arrays(frame, fields, "w", tmp_path)
    assert arrays.num_rows == 200
    assert arrays.weight is not None
    assert (arrays.weight == frame.to_table()["w"].to_numpy().astype(np.float32)).all()
    assert (arrays.rows == np.arange(200)).all()
    assert_same(arrays, frame, fields)


def test_arrays_are_mapped_read_only(tmp_path: Path) -> None:
    frame = frame_of(50)
    arrays = prepare_arrays(frame, fields_of(frame), None, tmp_path)
    ids = arrays.parts["text.ids"]
    assert isinstance(ids, Ragged)
    for array in (arrays.parts["table.numbers"], ids.values, ids.offsets, arrays.targets["y"]):
        assert isinstance(array, np.ndarray)
        assert type(array) is np.ndarray
        assert not array.flags.writeable
        assert isinstance(array.base, np.memmap)
    assert arrays.weight is None


def test_no_rows_and_one(tmp_path: Path) -> None:
    fields = fields_of(frame_of(50))
    for rows in (0, 1):
        frame = frame_of(rows)
        arrays = prepare_arrays(frame, fields, "w", tmp_path)
        assert arrays.num_rows == rows
        assert len(arrays.rows) == len(arrays.parts["table.numbers"]) == len(arrays.targets["y"]) == rows
        assert arrays.parts["table.numbers"].shape == (rows, 2)  # type: ignore[union-attr]
        ids = arrays.parts["text.ids"]
        assert isinstance(ids, Ragged)
        assert len(ids) == rows
        assert arrays.weight is not None
        assert len(arrays.weight) == rows


def test_made_once_for_the_same_data_and_fields(tmp_path: Path) -> None:
    frame = frame_of(30)
    fields = fields_of(frame)
    first = prepare_arrays(frame, fields, None, tmp_path)
    calls: list[object] = []

    def counted(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        calls.append(columns)
        return frame.source(columns)

    watched = replace(frame, source=counted)
    os.utime(first.folder, (0, 0))
    assert prepare_arrays(watched, fields, None, tmp_path).folder == first.folder
    assert calls == []
    assert first.folder.stat().st_mtime > 0
    others = [
        prepare_arrays(watched, fields, "w", tmp_path),
        prepare_arrays(watched, Fields({**fields.inputs, "text": Letters(mark="x")}, fields.outputs), None, tmp_path),
        prepare_arrays(watched, fields, None, tmp_path, rows=Marked.of(np.arange(30) * 2, 60)),
        prepare_arrays(watched.take(np.arange(29)), fields, None, tmp_path),
    ]
    assert len({first.folder, *(other.folder for other in others)}) == 5
    assert (others[2].rows == np.arange(30) * 2).all()


def test_a_damaged_entry_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = frame_of(30)
    fields = fields_of(frame)
    arrays = prepare_arrays(frame, fields, None, tmp_path)
    victim = sorted(arrays.folder.glob("*.values"))[0]
    data = bytearray(victim.read_bytes())
    data[0] ^= 1
    victim.write_bytes(bytes(data))
    assert_same(prepare_arrays(frame, fields, None, tmp_path), frame, fields)
    assert "damaged" in capsys.readouterr().err


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frame_of(30)
    fields = fields_of(frame)
    for failing in range(100):
        seen = 0

        def hook(operation: str, path: Path, failing: int = failing) -> None:
            nonlocal seen
            seen += 1
            if seen > failing and path != tmp_path / "arrays":
                raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(files, "on_operation", hook)
        try:
            arrays = prepare_arrays(frame, fields, None, tmp_path)
        except OSError:
            assert list((tmp_path / "arrays").iterdir()) == []
            continue
        finally:
            monkeypatch.setattr(files, "on_operation", None)
        assert_same(arrays, frame, fields)
        assert failing >= 2
        break


BUILD_SLOWLY = """
import os, sys, time
from pathlib import Path
from ceiba.read.cache import built_once

def build(temporary):
    (temporary / "who").write_text(str(os.getpid()))
    (Path(sys.argv[2]) / str(os.getpid())).touch()
    time.sleep(2)  # long enough for the other to come

built_once(Path(sys.argv[1]), build)
"""


def test_of_two_builders_one_waits(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "started").mkdir()
    command = [sys.executable, "-c", BUILD_SLOWLY, str(tmp_path / "cache/entry"), str(tmp_path / "started")]
    builders = [subprocess.Popen(command) for _ in range(2)]
    assert [builder.wait(timeout=60) for builder in builders] == [0, 0]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["entry"]
    (built,) = (tmp_path / "started").iterdir()
    assert (tmp_path / "cache/entry/who").read_text() == built.name
    files.verify_manifest(tmp_path / "cache/entry")


def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(4):
        entry = tmp_path / f"entry {place}"
        entry.mkdir()
        (entry / "data").write_bytes(bytes(1000))
        os.utime(entry, (time.time() - 100 + place, time.time() - 100 + place))
    abandoned, worked_on = tmp_path / f"{files.MARK}old", tmp_path / f"{files.MARK}new"
    abandoned.mkdir()
    worked_on.mkdir()
    os.utime(abandoned, (0, 0))
    os.utime(tmp_path / "entry 0")  # used again
    make_room(tmp_path, 2000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{files.MARK}new", "entry 0", "entry 3"]
    monkeypatch.setenv("CEIBA_CACHE_BYTES", "1e9")
    with pytest.raises(InputError, match="CEIBA_CACHE_BYTES"):
        budget_bytes()


def test_bad_values_are_named(tmp_path: Path) -> None:
    frame = frame_of(30)
    fields = fields_of(frame)
    bad = open_frame({"age": ["1", "x"], "job": ["a", "b"], "text": ["", ""], "y": ["c0", "c1"], "w": [1.0, -1.0]})
    with pytest.raises(DataError, match=r"row 2, column 'age'.*Got 'x'"):
        prepare_arrays(bad, fields, None, tmp_path)
    with pytest.raises(DataError, match="row 78,"):
        prepare_arrays(bad, fields, None, tmp_path, rows=Marked.of(np.array([3, 77]), 78))
    good = open_frame({**bad.to_table().to_pydict(), "age": [1, 2]})
    with pytest.raises(DataError, match=r"column 'w' must hold weights.*Got -1"):
        prepare_arrays(good, fields, "w", tmp_path)
    with pytest.raises(DataError, match="'weight'"):
        prepare_arrays(good, fields, "weight", tmp_path)
    with pytest.raises(DataError, match="'w'"):
        prepare_arrays(open_frame({**good.to_table().to_pydict(), "w": [1.0, None]}), fields, "w", tmp_path)
    with pytest.raises(DataError, match="column 'job'"):
        prepare_arrays(open_frame({"age": [1], "text": ["x"], "y": ["c0"]}), fields, None, tmp_path)


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    """A frame of repeated batches, so that the table itself takes no memory."""
    rng = np.random.default_rng(0)
    batch = pa.RecordBatch.from_pydict({f"n{place}": rng.random(20_000) for place in range(20)})
    numbers = {name: NumberSpec(bins=None).fit([batch.column(name)]) for name in batch.schema.names}
    fields = Fields(dict(numbers), {"n0": numbers["n0"]})
    peaks = []
    for repeats in (5, 40):
        small = open_frame(batch)

        def source(columns: tuple[str, ...] | None, repeats: int = repeats) -> Iterator[pa.RecordBatch]:
            return (batch.select(list(columns or batch.schema.names)) for _ in range(repeats))

        frame = replace(small, num_rows=20_000 * repeats, identity=str(repeats), source=source)
        tracemalloc.start()
        arrays = prepare_arrays(frame, fields, None, tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert arrays.num_rows == 20_000 * repeats
    addresses = 8 * 20_000 * (40 - 5)
    assert peaks[1] - peaks[0] < addresses + 2e6 < 0.2 * 4 * 20 * 20_000 * (40 - 5)
