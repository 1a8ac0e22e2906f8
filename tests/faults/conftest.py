"""The process that children are forked from, and trainings that nothing happened to."""

import multiprocessing
from pathlib import Path

import pytest
import trainings
from people import RESUMABLE, people


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Children find all imported and nothing computed, so that a fork is safe."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__", "ceiba.run", "ceiba.cli.train"])


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed training."""
    folder = tmp_path_factory.mktemp("quiet")
    assert trainings.run(folder) == 0
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed command."""
    folder = tmp_path_factory.mktemp("whole")
    people(folder)
    words = ["train", "people.yaml", "--out", "run", *RESUMABLE]
    assert trainings.ended(trainings.start(trainings.command, words, folder)) == 0, (folder / "error").read_text()
    return folder
