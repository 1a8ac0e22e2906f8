"""Writing that fails: nothing half-written has a final name, what was good stays good, the message says what and where.

That every single operation of a folder may fail without leaving anything, and that a file is forced to the disk before
it gets its name, is shown for all that Ceiba writes in tests/base/test_files.py.
"""

import errno
import json
import os
from pathlib import Path

import pytest
import trainings
from people import RESUMABLE, ROWS, people
from trainings import ALWAYS, NOT_ALLOWED, checkpoints, command, ended, full_disk, is_equal, on_small_disk, run, start

from ceiba.base.errors import CeibaError
from ceiba.base.files import MARK

SHORT = {"epochs": 1, "checkpoint": {"every_steps": 2, "every_seconds": None}}
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EMFILE", "EACCES", "EROFS")


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_at_each_operation_of_a_save(tmp_path: Path, name: str) -> None:
    """The first operation of the second save fails, then its second, ..."""
    number = getattr(errno, name)
    trainings.training(tmp_path / "quiet", **SHORT)
    a_save = json.loads((tmp_path / "quiet/seen.json").read_text())["operation"] // 2
    for at in range(a_save + 1, 2 * a_save + 1):
        folder = tmp_path / str(at)
        with pytest.raises(CeibaError) as caught:
            trainings.training(folder, faults=((f"errno {number}", "operation", at),), **SHORT)
        error = str(caught.value)
        assert caught.value.exit_code == 1
        assert f"{folder}/checkpoints" in error
        assert f"{os.strerror(number)} (errno {number}; needs " in error
        assert "bytes, " in error
        assert " are free" in error
        # A name that was given, and only then not forced to the disk, is of a whole checkpoint.
        assert [path.name for path in checkpoints(folder)][:1] == ["step-000000002"]
        assert not list(folder.rglob(f"{MARK}*"))


def outcome(code: int | None) -> int | None:
    if code == NOT_ALLOWED:
        pytest.skip("mounting a small disk is not allowed here")
    return code


def test_a_full_disk(tmp_path: Path, quiet: Path) -> None:
    """A real one; when there is room again the training goes on as if nothing had been."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").mkdir()
    child = start(on_small_disk, tmp_path / "disk", "1m", full_disk, tmp_path / "disk", tmp_path / "out")
    assert outcome(ended(child)) == 0
    error = (tmp_path / "out/error").read_text()
    assert "No space left on device" in error
    assert str(tmp_path / "disk/run") in error
    assert (tmp_path / "out/good").read_text() == "step-000000004 step-000000008"
    assert is_equal(tmp_path / "out", quiet)


@pytest.mark.parametrize(
    ("limit", "message"), [("at most bytes 1500", "File too large"), ("at most files 3", "Too many open files")]
)
def test_a_limit_of_the_system(tmp_path: Path, quiet: Path, limit: str, message: str) -> None:
    """A file that may grow no further is first written short, then refused; and no file can be opened."""
    assert run(tmp_path, (limit, "rename", 2)) == 1
    assert message in (tmp_path / "error").read_text()
    assert str(tmp_path) in (tmp_path / "error").read_text()
    assert checkpoints(tmp_path)
    assert not list(tmp_path.rglob(f"{MARK}*"))
    assert run(tmp_path, resume=True) == 0
    assert is_equal(tmp_path, quiet)


def test_a_disk_that_may_not_be_written(tmp_path: Path) -> None:
    people(tmp_path)
    (tmp_path / "disk").mkdir()
    words = ["train", "people.yaml", "--out", "disk/run"]
    code = outcome(ended(start(on_small_disk, tmp_path / "disk", "read-only", command, words, tmp_path)))
    assert code == 1
    assert (tmp_path / "error").read_text() == "ceiba: disk/run: Read-only file system (errno 30).\n"


@pytest.mark.parametrize("where", ["ceiba.run:prepare_arrays", "ceiba.run:render_html"])
def test_a_disk_that_is_full_before_and_after_training(tmp_path: Path, where: str) -> None:
    """While rows are prepared and while the bundle is written: one line that names the file, nothing left."""
    people(tmp_path, ROWS + ROWS.partition("\n")[2] * 9)
    words = ["train", "people.yaml", "--out", "run", *RESUMABLE]
    assert ended(start(command, words, tmp_path, (("at most bytes 2000", where, 1),))) == 1
    (line,) = [line for line in (tmp_path / "error").read_text().splitlines() if line.startswith("ceiba:")]
    assert "File too large" in line
    assert "Traceback" not in (tmp_path / "error").read_text()
    assert not (tmp_path / "run/bundle").exists()
    assert not list(tmp_path.rglob(f"{MARK}*"))


def test_a_disk_slower_than_the_steps(tmp_path: Path) -> None:
    """One save waits for the one before it, so that memory is bounded, and the time is told."""
    slow = {**SHORT, "checkpoint": {"every_steps": 1, "every_seconds": None, "keep": 9}}
    _, found = trainings.training(tmp_path / "slow", faults=(("0.1", "rename", ALWAYS),), **slow)
    assert found.stall_seconds > 0.25  # three saves wait for those before them, while a step takes milliseconds
    assert found.cost["checkpoint_stall_seconds"] == found.stall_seconds
    assert len(checkpoints(tmp_path / "slow")) == 4
