"""All or nothing on disk."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ceiba.base import files
from ceiba.base.errors import BundleError, InputError


@pytest.fixture
def operations() -> Iterator[list[tuple[str, str]]]:
    seen: list[tuple[str, str]] = []
    files.on_operation = lambda operation, path: seen.append((operation, Path(path).name))
    yield seen
    files.on_operation = None


def make(target: Path) -> None:
    with files.write_folder(target) as folder:
        (folder / "a.txt").write_text("alpha")
        (folder / "below").mkdir()
        (folder / "below/b.txt").write_text("")


def test_a_folder_is_forced_to_disk_before_it_gets_its_name(tmp_path: Path, operations: list[tuple[str, str]]) -> None:
    make(tmp_path / "x")
    names = [name for _, name in operations]
    rename = operations.index(("rename", "x"))
    assert names.index("a.txt") < names.index("MANIFEST") < rename
    assert ("fsync", "MANIFEST") in operations[:rename]
    assert operations[rename + 1] == ("fsync", tmp_path.name)
    files.verify_manifest(tmp_path / "x")


def test_any_failing_operation_leaves_nothing(tmp_path: Path) -> None:
    """Fail the first operation, then the second, ... until none fails: never a half-written folder."""
    for count in range(1, 50):
        seen = 0

        def fail(operation: str, path: Path, count: int = count) -> None:
            nonlocal seen
            seen += 1
            if seen == count:
                raise OSError(28, "No space left on device", str(path))

        files.on_operation = fail
        try:
            make(tmp_path / "x")
            break
        except OSError:
            committed = (tmp_path / "x").exists()
            if committed:  # only the last fsync, of the parent, may fail after the rename
                files.verify_manifest(tmp_path / "x")
                assert [path.name for path in tmp_path.iterdir()] == ["x"]
                files.shutil.rmtree(tmp_path / "x")
            else:
                assert list(tmp_path.iterdir()) == []
        finally:
            files.on_operation = None
    assert count > 5


@pytest.mark.parametrize("name", ["a.txt", "below/b.txt"])
def test_every_flipped_byte_is_found(tmp_path: Path, name: str) -> None:
    make(tmp_path / "x")
    path = tmp_path / "x" / name
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(BundleError, match="checksum"):
            files.verify_manifest(tmp_path / "x")
    path.write_bytes(good + b"!")
    with pytest.raises(BundleError, match="bytes"):
        files.verify_manifest(tmp_path / "x")
    path.unlink()
    with pytest.raises(BundleError, match="lacks"):
        files.verify_manifest(tmp_path / "x")


def test_extra_files_links_and_broken_manifests_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "x")
    (tmp_path / "x/extra").write_text("")
    with pytest.raises(BundleError, match="does not list"):
        files.verify_manifest(tmp_path / "x")
    (tmp_path / "x/extra").unlink()
    (tmp_path / "x/a.txt").unlink()
    os.symlink("/etc/hostname", tmp_path / "x/a.txt")
    with pytest.raises(BundleError, match="plain files"):
        files.verify_manifest(tmp_path / "x")
    (tmp_path / "x/MANIFEST").write_text("[1]")
    with pytest.raises(BundleError, match="manifest"):
        files.verify_manifest(tmp_path / "x")


def test_an_existing_target_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(InputError, match="must not exist"):
        make(tmp_path / "x")
    os.symlink(tmp_path / "x", tmp_path / "link")
    with pytest.raises(InputError, match="plain file"):
        files.write_bytes(tmp_path / "link", b"")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a", b"old")
    for operation in ("write", "fsync", "rename"):

        def fail(name: str, path: Path, operation: str = operation) -> None:
            if name == operation:
                raise OSError(5, "Input/output error")

        files.on_operation = fail
        with pytest.raises(OSError, match="Input/output"):
            files.write_bytes(tmp_path / "a", b"new")
        files.on_operation = None
        assert (tmp_path / "a").read_bytes() == b"old"
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"é": [1.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [1.5]}
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


def test_a_folder_has_one_writer_and_names_it(tmp_path: Path) -> None:
    code = f"from ceiba.base.files import hold\nfrom pathlib import Path\nwith hold(Path({str(tmp_path)!r})): pass"
    with files.hold(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"process {os.getpid()}" in done.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_that_is_half_removed_has_lost_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process were killed after the first file."""
    make(tmp_path / "old")
    unlink, removed = os.unlink, []

    def first_alone(path: Path, **options: object) -> None:
        if removed:
            raise OSError(5, "killed")
        removed.append(path)
        unlink(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", first_alone)
    with pytest.raises(OSError, match="killed"):
        files.remove_folder(tmp_path / "old")
    monkeypatch.undo()
    assert removed
    assert [path.name.startswith(files.MARK) for path in tmp_path.iterdir()] == [True]
    make(tmp_path / "old")
    files.remove_folder(tmp_path / "old")
    assert not (tmp_path / "old").exists()
