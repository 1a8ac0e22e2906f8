"""What is stored and then damaged is never taken for good: a checkpoint is passed over, a bundle refused.

The same flips, cuts, links and strangers among the files of a bundle, and newer formats: tests/bundle/test_bundle.py.
Entries of the cache that are damaged, or built by two at once: tests/prepare/test_arrays.py.
Nothing loads a checkpoint while another process prunes: a run has one writer, and only that one reads them.
"""

import json
import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trainings
from safetensors.torch import save_file

from ceiba.base import files
from ceiba.base.errors import BundleError, InputError
from ceiba.model import load_weights
from ceiba.read.cache import make_room
from ceiba.train.checkpoint import load_checkpoint

IDENTITY = {**trainings.IDENTITY, "version": trainings.loop.__version__}
SHORT = {"epochs": 1, "checkpoint": {"every_steps": 2, "every_seconds": None}}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("kept")
    trainings.training(folder, **SHORT)
    return folder / "checkpoints"


@pytest.fixture
def two(kept: Path, tmp_path: Path) -> Path:
    """A copy of them, to be damaged."""
    return Path(shutil.copytree(kept, tmp_path / "checkpoints"))


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "step-000000004").iterdir())


def is_passed_over(folder: Path) -> bool:
    """Whether the newest checkpoint is seen to be damaged, the older used, and both are told."""
    found, weights = load_checkpoint(folder, IDENTITY)
    told = found.notes[-1] if found.notes else ""
    return found.step == 2 and told.startswith("Damaged checkpoint passed over: step-000000004") and bool(weights)


def test_cut_at_every_offset(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_checkpoint(two, IDENTITY)[0].step == 4
    for name in files_of(two):
        path = two / "step-000000004" / name
        data = path.read_bytes()
        for length in [*range(0, len(data) - 1, 97), len(data) - 2]:
            path.write_bytes(data[:length])
            with pytest.raises(
                BundleError, match=r"must have \d+ bytes. Got" if name != files.MANIFEST else "must be a manifest"
            ):
                files.verify_manifest(path.parent)
        assert is_passed_over(two), name
        path.write_bytes(data)
    assert load_checkpoint(two, IDENTITY)[0].step == 4


def test_one_bit_flipped(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In bytes all over every file; `python -m bench.flips` resumes from random ones to the end."""
    for name in files_of(two):
        path = two / "step-000000004" / name
        data = path.read_bytes()
        for place in range(0, len(data), 61):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
            with pytest.raises(BundleError):
                files.verify_manifest(path.parent)
        assert is_passed_over(two), name
        path.write_bytes(data)


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def swap(folder: Path) -> None:
    one, two = folder / "model.safetensors", folder / "mean.safetensors"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


def pipe(folder: Path) -> None:
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")


def device(folder: Path) -> None:
    (folder / "state.json").unlink()
    os.mknod(folder / "state.json", 0o600 | 0o020000, os.makedev(1, 3))  # /dev/null, under another name


def symbolic(folder: Path) -> None:
    (folder / "state.json").rename(folder.parent / "elsewhere")
    (folder / "state.json").symlink_to(folder.parent / "elsewhere")


def inside(folder: Path) -> None:
    (folder / "state.json").unlink()
    (folder / "state.json").mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bytes more": lambda folder: rewritten(folder / "model.safetensors", lambda data: data + b"\0"),
    "zeros": lambda folder: rewritten(folder / "model.safetensors", lambda data: bytes(len(data))),
    "empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "two swapped": swap,
    "one missing": lambda folder: (folder / "optimizer.safetensors").unlink(),
    "one more": lambda folder: (folder / "extra.safetensors").write_bytes(b""),
    "another case": lambda folder: (folder / "STATE.json").write_text("{}"),
    "a link": symbolic,
    "a hard link": lambda folder: os.link(folder / "state.json", folder.parent / "elsewhere"),
    "a pipe": pipe,
    "a device": device,
    "a folder": inside,
    "no manifest": lambda folder: (folder / files.MANIFEST).unlink(),
    "nothing": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_of_a_checkpoint(two: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        DAMAGES[damage](two / "step-000000004")
    except PermissionError as error:
        pytest.skip(f"not allowed here: {error}")
    assert is_passed_over(two)
    assert "Resuming from step-000000002 instead" in capsys.readouterr().err


def test_none_left_is_an_error(two: Path) -> None:
    for folder in two.iterdir():
        (folder / "state.json").unlink()
    with pytest.raises(
        InputError, match=r"must hold a checkpoint to resume from. Got step-000000004: .*step-000000002: "
    ):
        load_checkpoint(two, IDENTITY)


def test_a_stranger_of_that_name(two: Path) -> None:
    (two / "step-000000009").write_text("")
    found, _ = load_checkpoint(two, IDENTITY)
    assert found.step == 4
    assert "step-000000009" in found.notes[-1]


def header(entries: object, data: bytes = b"") -> bytes:
    """A safetensors file with a header of one's own."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(start: int, end: int, shape: list[int], kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


HEADERS = {
    "a header of 2**60 bytes": struct.pack("<Q", 1 << 60) + b"{}",
    "overlapping ranges": header({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, bytes(12)),
    "a gap": header({"a": tensor(0, 8, [2]), "b": tensor(12, 20, [2])}, bytes(20)),
    "a million tensors": header(
        b"{%s}"
        % b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % place for place in range(1_000_000))
    ),
    "deep nesting": header(b"[" * 100_000 + b"]" * 100_000),
    "a name twice": header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "an unknown kind": header({"a": tensor(0, 4, [1], "F33")}, bytes(4)),
    "a shape that overflows": header({"a": tensor(0, 4, [1 << 40, 1 << 40])}, bytes(4)),
    "more than there is": header({"a": tensor(0, 1 << 40, [1 << 38])}, bytes(4)),
    "no JSON": header(b"{a"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_crafted_header_is_refused(name: str, tmp_path: Path) -> None:
    """In bounded time and memory, whatever its checksum says."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(HEADERS[name])
    began = time.monotonic()
    with pytest.raises(BundleError) as caught:
        load_weights(trainings.model(), path)
    assert len(str(caught.value)) < 1000
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    weights = trainings.model().state_dict()
    save_file(weights, tmp_path / "good")
    load_weights(trainings.model(), tmp_path / "good")
    name = next(name for name, one in weights.items() if one.ndim == 2)
    weights[name][0, 0] = value
    save_file(weights, tmp_path / "bad")
    with pytest.raises(BundleError, match=f"must hold numbers. Got others in {name}"):
        load_weights(trainings.model(), tmp_path / "bad")


@pytest.mark.parametrize("umask", [0o077, 0o000, 0o022])
def test_who_may_read_and_write(tmp_path: Path, umask: int) -> None:
    """As the umask says, but that nobody else may ever write."""
    before = os.umask(umask)
    try:
        trainings.training(tmp_path, **SHORT)
    finally:
        os.umask(before)
    for folder in trainings.checkpoints(tmp_path):
        for path in (folder, *folder.iterdir()):
            wanted = (0o777 if path.is_dir() else 0o666) & ~umask & ~0o002
            assert path.stat().st_mode & 0o777 == wanted, path


def test_an_entry_that_is_removed_stays_readable(tmp_path: Path) -> None:
    """The cache makes room while a process has the rows mapped."""
    (tmp_path / "entry").mkdir()
    rows = np.arange(100_000)
    np.save(tmp_path / "entry/rows.npy", rows)
    mapped = np.load(tmp_path / "entry/rows.npy", mmap_mode="r")
    make_room(tmp_path, 0)
    assert not (tmp_path / "entry").exists()
    assert np.array_equal(mapped, rows)
