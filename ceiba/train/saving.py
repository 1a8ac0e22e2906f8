"""When checkpoints are written, and by whom: a thread of their own, while training goes on."""

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from types import TracebackType

from ceiba.base.errors import CeibaError
from ceiba.base.files import MARK, free_bytes
from ceiba.base.ranks import leads
from ceiba.train.checkpoint import num_bytes, save_checkpoint
from ceiba.train.spec import CheckpointSpec
from ceiba.train.step import Run


class Saver:
    """Copies the state at once and writes it on a thread; at most one is being written, so that memory is bounded."""

    def __init__(self, folder: Path, identity: Mapping[str, str], spec: CheckpointSpec):
        self.folder, self.identity, self.spec = folder, identity, spec
        if leads():  # and holds the run's folder: what is half written is of a process that was killed
            for left in folder.glob(f"{MARK}*"):
                shutil.rmtree(left, ignore_errors=True)
        self.stall_s = 0.0
        """For how long training stood still for the sake of checkpoints."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ceiba-checkpoint")
        self._pending: tuple[Future[Path], int] | None = None
        self._saved_step, self._saved_at = 0, time.monotonic()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown()

    def is_due(self, step: int) -> bool:
        """Whether it is time for the next one."""
        steps, seconds = self.spec.every_steps, self.spec.every_seconds
        return (steps is not None and step - self._saved_step >= steps) or (
            seconds is not None and time.monotonic() - self._saved_at >= seconds
        )

    def save(self, run: Run) -> None:
        """Copy the state and begin to write it.

        Raises: CeibaError if an earlier one could not be written.
        """
        began = time.monotonic()
        self.wait()
        tensors, at = run.snapshot(), deepcopy(run.at)
        self._saved_step, self._saved_at = run.at.step, time.monotonic()
        if not run.world.leads:
            return
        spec = self.spec
        written = self._pool.submit(
            save_checkpoint, self.folder, self.identity, at, tensors, spec.keep, spec.most_bytes
        )
        self._pending = written, num_bytes(tensors)
        self.stall_s += time.monotonic() - began

    def wait(self) -> Path | None:
        """Wait for the one that is being written; its folder.

        Raises: CeibaError if it could not be written; the one before it is still good.
        """
        if self._pending is None:
            return None
        (written, size), self._pending = self._pending, None
        try:
            return written.result()
        except OSError as error:
            free = free_bytes(self.folder)
            raise CeibaError(
                f"{error.filename or self.folder}: the checkpoint could not be written",
                f"{error.strerror or error} (errno {error.errno}; needs {size:,} bytes, {free:,} are free)",
                "Make room, or set train.checkpoint.keep or most_bytes lower; then --resume goes on from the last one",
            ) from error
