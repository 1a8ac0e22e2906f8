"""Going on: only with what the run began with, only from what is there, and only one process at a time."""

import time
from pathlib import Path

import pytest
import trainings
from people import RECIPE, RESUMABLE, ROWS, people
from trainings import ended, job, run, start

from ceiba.cli import main

WORDS = ("train", "people.yaml", "--out", "run", *RESUMABLE)
CHANGES = [
    (
        "the rate",
        ROWS,
        RECIPE.replace("threads: 1", "threads: 1, optimizer: {lr: 0.5}"),
        "train.optimizer.lr: 0.5 (saved: 0.001)",
    ),
    ("the epochs", ROWS, RECIPE.replace("epochs: 2", "epochs: 3"), "train.epochs: 3 (saved: 2)"),
    ("one value of the data", ROWS.replace("Rome", "Bonn", 1), RECIPE, "another data"),
    ("one row more", ROWS + "33,Rome,2,no\n", RECIPE, "another data"),
]


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped on its way."""
    monkeypatch.chdir(tmp_path)
    people(tmp_path)
    monkeypatch.setattr("ceiba.run.evaluate", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main([*WORDS]) == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "recipe", "message"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_change_is_refused_and_shown(
    stopped: Path, rows: str, recipe: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    people(stopped, rows, recipe)
    before = sorted(path.name for path in (stopped / "run/checkpoints").iterdir())
    assert main([*WORDS, "--resume"]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ceiba: ")]
    assert len(error) == 1
    assert message in error[0]
    assert ("log_every, max_time" in error[0]) == ("train." in message)
    assert sorted(path.name for path in (stopped / "run/checkpoints").iterdir()) == before


def test_another_version_is_refused(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainings.loop, "__version__", "99.0")
    assert main([*WORDS, "--resume"]) == 2
    assert "another version. Got 99.0 (saved: " in capsys.readouterr().err


def test_what_changes_no_weight_may_change(stopped: Path) -> None:
    """How often is logged and saved, and where the files lie."""
    (stopped / "people.csv").rename(stopped / "folk.csv")
    (stopped / "people.yaml").write_text(
        RECIPE.replace("people.csv", "folk.csv").replace("log_every: 2", "log_every: 5")
    )
    assert main([*WORDS, "--set", "train.checkpoint.keep=1", "--resume"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "run", "--resume"], "must hold a checkpoint to resume from. Got none."),
        (["--out", "rnu", "--resume"], "rnu/checkpoints must hold a checkpoint to resume from"),
        (["--resume"], "--resume needs the folder of the run"),
        (["--out", "people.csv"], "people.csv must be a folder or absent"),
        (["--out", "people.csv/run"], "people.csv must be a folder or absent"),
        (["--out", "link"], "link must be a folder or absent. Got a link to nothing."),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_folder_that_is_none(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never a silent start from nothing, and no file or link in the way is replaced."""
    monkeypatch.chdir(tmp_path)
    people(tmp_path)
    Path("link").symlink_to("nowhere")
    assert main(["train", "people.yaml", *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ceiba: ")]
    assert message in line
    assert Path("people.csv").read_text() == ROWS
    assert Path("link").is_symlink()
    assert not Path("run/bundle").exists()


def test_a_folder_has_one_writer(tmp_path: Path, quiet: Path) -> None:
    """The second of two runs in one folder is refused, and told whose it is; the first is not disturbed."""
    first = start(job, tmp_path, False, (("1.5", "step", 3),), {})
    while not (tmp_path / "lock").exists() or not (tmp_path / "lock").read_text():
        time.sleep(0.01)
    assert run(tmp_path) == 2
    assert (tmp_path / "error").read_text().startswith(f"{tmp_path} is in use. Got process {first.pid}.")
    assert ended(first) == 0
    assert (tmp_path / "weights.safetensors").read_bytes() == (quiet / "weights.safetensors").read_bytes()
