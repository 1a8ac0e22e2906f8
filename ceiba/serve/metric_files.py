"""Where the workers keep their counts: a folder in memory, made by the owner before it forks."""

import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client looks at it once, when it is imported."""
MEMORY = "/dev/shm"


def begin() -> Path:
    """Make the folder, and name it to all processes that follow."""
    folder = tempfile.mkdtemp(prefix="ceiba-metrics-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    os.environ[VARIABLE] = folder
    return Path(folder)


def forget(process: int) -> None:
    """Drop what a worker that ended said of the present; what it counted stays."""
    for path in Path(os.environ[VARIABLE]).glob(f"gauge_live*_{process}.db"):
        path.unlink(missing_ok=True)


def end() -> None:
    """Remove the folder."""
    shutil.rmtree(os.environ.pop(VARIABLE), ignore_errors=True)
