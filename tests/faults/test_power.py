"""Power loss: what was never forced to the disk is gone, whatever order the disk liked to write in.

SIGKILL leaves the system's cache alone, so it proves nothing about this. Here every fsync of a training is recorded,
and the disk is rebuilt as a loss of power would leave it at that moment, at the worst: a file holds what it held at its
own last fsync, nothing where it had none; a folder holds the names it had at its own.
"""

from pathlib import Path

import pytest
import trainings
from trainings import EVERY_STEPS, STEPS, checkpoints, is_equal, run

from ceiba.base.errors import BundleError

Entry = tuple[int, bool]
"""The number of a file or a folder, and which of the two it is."""


class Disk:
    """What is safe of a folder, moment after moment."""

    def __init__(self, root: Path):
        self.root = root
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, Entry]] = {}
        self.moments: list[tuple[dict[int, bytes], dict[int, dict[str, Entry]]]] = []

    def operation(self, name: str, path: Path) -> None:
        """What a training is about to do; an fsync makes safe what is there now."""
        self.moments.append((dict(self.files), dict(self.folders)))
        if name != "fsync":
            return
        number = path.stat().st_ino
        if path.is_dir():
            self.folders[number] = {one.name: (one.stat().st_ino, one.is_dir()) for one in path.iterdir()}
        else:
            self.files[number] = path.read_bytes()

    def rebuilt(self, moment: int, target: Path) -> Path:
        """The folder as it is found when the power is back."""
        files, folders = self.moments[moment]

        def fill(entry: Entry, path: Path) -> None:
            number, is_folder = entry
            if not is_folder:
                path.write_bytes(files.get(number, b""))
                return
            path.mkdir(parents=True)
            for name, inner in folders.get(number, {}).items():
                fill(inner, path / name)

        fill((self.root.stat().st_ino, True), target)
        return target


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    """One training, every moment of it kept."""
    folder = tmp_path_factory.mktemp("power") / "run"
    folder.mkdir()
    disk = Disk(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainings.Faults, "operation", lambda _, name, path: disk.operation(name, path))
        trainings.training(folder)
    disk.operation("end", folder)
    return disk


def test_what_has_its_final_name_is_whole_at_any_moment(disk: Disk, tmp_path: Path) -> None:
    """And from the first save on there is always one; the last is safe in the end."""
    newest = 0
    for moment in range(len(disk.moments)):
        found = [int(path.name[5:]) for path in checkpoints(disk.rebuilt(moment, tmp_path / str(moment)))]
        assert max(found, default=0) >= newest
        newest = max(found, default=0)
    assert newest == STEPS - STEPS % EVERY_STEPS


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_it_goes_on_to_the_same_weights(disk: Disk, tmp_path: Path, quiet: Path, share: float) -> None:
    folder = disk.rebuilt(int(share * len(disk.moments)), tmp_path / "run")
    assert checkpoints(folder)
    assert run(folder, resume=True) == 0
    assert is_equal(folder, quiet)


def test_the_disk_here_loses_what_is_not_forced(tmp_path: Path) -> None:
    """The rebuilt disk can fail: a file renamed without its fsync is found empty."""
    folder = tmp_path / "run"
    (folder / "checkpoints/step-1").mkdir(parents=True)
    (folder / "checkpoints/step-1/MANIFEST").write_text("{}")
    disk = Disk(folder)
    for path in (folder, folder / "checkpoints", folder / "checkpoints/step-1"):
        disk.operation("fsync", path)
    disk.operation("end", folder)
    with pytest.raises((BundleError, OSError)):
        checkpoints(disk.rebuilt(-1, tmp_path / "found"))
