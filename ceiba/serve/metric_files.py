"""Where the workers keep their counts: a folder in memory, made by the owner before it forks.

The owner and its workers hold a lock on the folder, which the system takes from them when they die, however they die.
So the next owner can tell folders that are in use from those that were left by a kill, and removes the latter.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client looks at it once, when it is imported."""
MEMORY = "/dev/shm"
PREFIX = "ceiba-counts-"
_held: list[int] = []
"""The descriptor that holds the lock."""


def begin() -> Path:
    """Make the folder, and name it to all processes that follow; remove what others left behind."""
    parent = Path(MEMORY if os.access(MEMORY, os.W_OK) else tempfile.gettempdir())
    for left in parent.glob(f"{PREFIX}*"):
        _remove_if_left(left)
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            break
        os.close(descriptor)  # another owner took it for one that was left, before it was locked
    _held.append(descriptor)
    os.environ[VARIABLE] = folder
    return Path(folder)


def _remove_if_left(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # another user's, or gone
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # in use
    finally:
        os.close(descriptor)


def forget(process: int) -> None:
    """Drop what a worker that ended said of the present; what it counted stays."""
    for path in Path(os.environ[VARIABLE]).glob(f"gauge_live*_{process}.db"):
        path.unlink(missing_ok=True)


def end() -> None:
    """Remove the folder."""
    shutil.rmtree(os.environ.pop(VARIABLE), ignore_errors=True)
    while _held:
        os.close(_held.pop())
