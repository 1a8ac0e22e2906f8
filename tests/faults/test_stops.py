"""A request to stop: the step is finished or dropped whole, one good checkpoint is left, the exit code tells why.

The request is also heard while settings are chosen (and kernels compiled), in validation, in the middle of an
accumulated step and while a checkpoint is written; and before and after training, when there is nothing to save, but
nothing half-written either. Of two processes that train together both stop at the same step:
tests/train/test_ranks.py.
"""

import json
import shutil
import signal
from pathlib import Path

import pytest
from people import RESUMABLE, bundle_of, people
from trainings import checkpoints, command, compiled, ended, is_equal, run, start

from ceiba.base.files import MARK
from ceiba.cli import main

CODES = {"SIGTERM": 143, "SIGINT": 130}
COMPILING_S = 240.0


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(
    "where", [("choice", 1), ("step", 7), ("validation", 2), ("operation", 5)], ids=lambda one: one[0]
)
def test_it_saves_and_leaves(tmp_path: Path, quiet: Path, name: str, where: tuple[str, int]) -> None:
    assert run(tmp_path, (name, *where)) == CODES[name]
    error = (tmp_path / "error").read_text()
    assert error.startswith("Stopped at step")
    assert error.endswith("Go on with --resume.\n")
    assert checkpoints(tmp_path)[-1].name in error
    assert run(tmp_path, resume=True) == 0
    assert is_equal(tmp_path, quiet)


@pytest.mark.parametrize("at", [9, 10, 11])
def test_in_the_middle_of_an_accumulated_step(tmp_path: Path, at: int) -> None:
    """At the at-th forward pass: three of them make a step."""
    options = {"accumulate": 3}
    assert run(tmp_path / "quiet", **options) == 0
    assert run(tmp_path / "cut", ("SIGTERM", "forward", at), **options) == 143
    assert run(tmp_path / "cut", resume=True, **options) == 0
    assert is_equal(tmp_path / "cut", tmp_path / "quiet")


def test_a_second_request_ends_at_once(tmp_path: Path, quiet: Path) -> None:
    """In the middle of the save that the first one asked for: the checkpoint before it is still good."""
    a_save = json.loads((quiet / "seen.json").read_text())["operation"] // 3
    assert run(tmp_path, ("SIGTERM", "step", 10), ("SIGINT", "operation", 2 * a_save + 4)) == 130
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000004", "step-000000008"]
    assert list(tmp_path.rglob(f"{MARK}*"))
    assert run(tmp_path, resume=True) == 0
    assert is_equal(tmp_path, quiet)
    assert not list(tmp_path.rglob(f"{MARK}*"))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("where", ["load_splits", "fit_fields", "evaluate", "render_html"])
def test_before_and_after_training(tmp_path: Path, whole: Path, name: str, where: str) -> None:
    """While rows are read, fields are fitted, the model is measured, the bundle is written."""
    people(tmp_path)
    words = ["train", "people.yaml", "--out", "run", *RESUMABLE]
    assert ended(start(command, words, tmp_path, ((name, f"ceiba.run:{where}", 1),))) == CODES[name]
    assert (tmp_path / "error").read_text().splitlines()[-1] == "ceiba: stopped."
    assert not (tmp_path / "run/bundle").exists()
    assert not list(tmp_path.rglob(f"{MARK}*"))
    more = ["--resume"] if checkpoints(tmp_path / "run") else []
    assert ended(start(command, [*words, *more], tmp_path)) == 0
    assert bundle_of(tmp_path) == bundle_of(whole)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
def test_while_a_step_is_compiled(tmp_path: Path) -> None:
    """The compiler is not cut short: its step is finished, saved, and gone on from to the same end."""
    assert ended(start(compiled, tmp_path / "cut", False, True), COMPILING_S) == CODES["SIGTERM"]
    assert (tmp_path / "cut/error").read_text().startswith("Stopped at step")
    assert checkpoints(tmp_path / "cut")
    assert ended(start(compiled, tmp_path / "cut", True, False), COMPILING_S) == 0
    assert ended(start(compiled, tmp_path / "quiet", False, False), COMPILING_S) == 0
    assert is_equal(tmp_path / "cut", tmp_path / "quiet")


def test_who_calls_keeps_its_own_handling() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["schema"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
