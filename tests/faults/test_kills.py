"""kill -9: a training that dies at any step and at any write goes on to the same weights, bit for bit.

After each kill every checkpoint that has its final name verifies; there is no pointer beside them that could lie, since
the newest one that verifies is the one to go on from. What the dead process left half-written is removed. The moments
between are tried by `python -m bench.kill`, on whole commands.
"""

import json
import shutil
import signal
from pathlib import Path

import pytest
from people import RESUMABLE, bundle_of, people
from trainings import EVERY_STEPS, STEPS, checkpoints, command, ended, is_equal, run, start

from ceiba.base.files import MARK


def goes_on_equal(folder: Path, quiet: Path, **options: object) -> None:
    """What was good is good, a second process ends the training, its result is that of an undisturbed one."""
    assert run(folder, resume=bool(checkpoints(folder)), **options) == 0
    assert is_equal(folder, quiet)
    assert not list(folder.rglob(f"{MARK}*"))


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_at_each_step(tmp_path: Path, quiet: Path, at: int) -> None:
    assert run(tmp_path, ("SIGKILL", "step", at)) == -signal.SIGKILL
    assert checkpoints(tmp_path) or at <= 2 * EVERY_STEPS + 1  # the second waits until the first is written
    goes_on_equal(tmp_path, quiet)


def test_at_each_operation_of_a_save(tmp_path: Path) -> None:
    """At the first write, fsync or rename of two saves, at the second, ... until all of them pass."""
    short = {"epochs": 1, "checkpoint": {"every_steps": 2, "every_seconds": None}}
    assert run(tmp_path / "quiet", **short) == 0
    count = json.loads((tmp_path / "quiet/seen.json").read_text())["operation"]
    assert count >= 18  # each save: four files or more, the manifest, the folder, its name, the folder above
    for at in range(1, count + 1):
        folder = tmp_path / str(at)
        assert run(folder, ("SIGKILL", "operation", at), **short) == -signal.SIGKILL, at
        goes_on_equal(folder, tmp_path / "quiet", **short)
        shutil.rmtree(folder)


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0), (2, 4)])
def test_with_other_workers(tmp_path: Path, quiet: Path, before: int, after: int) -> None:
    """Batches that are made ahead are the same, whoever makes them: the number may change when a run goes on."""
    assert run(tmp_path, ("SIGKILL", "step", 11), workers=before) == -signal.SIGKILL
    goes_on_equal(tmp_path, quiet, workers=after)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_in_validation(tmp_path: Path, quiet: Path, at: int) -> None:
    assert run(tmp_path, ("SIGKILL", "validation", at)) == -signal.SIGKILL
    goes_on_equal(tmp_path, quiet)


@pytest.mark.parametrize(
    "where",
    ["ceiba.prepare.arrays:_build", "ceiba.run:evaluate", "ceiba.run:write_bundle", "ceiba.bundle.write:write_json"],
)
def test_before_and_after_training(tmp_path: Path, where: str, whole: Path) -> None:
    """In a half-built entry of the cache, in the evaluation, in a half-written bundle."""
    people(tmp_path)
    words = ["train", "people.yaml", "--out", "run", *RESUMABLE]
    assert ended(start(command, words, tmp_path, (("SIGKILL", where, 1),))) == -signal.SIGKILL
    assert not (tmp_path / "run/bundle").exists()
    more = ["--resume"] if checkpoints(tmp_path / "run") else []
    assert ended(start(command, [*words, *more], tmp_path)) == 0, (tmp_path / "error").read_text()
    assert bundle_of(tmp_path) == bundle_of(whole)
