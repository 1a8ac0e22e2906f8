"""Peak memory of this process and its helper: anonymous + shared pages, sampled.

Mapped files are not counted: the system may drop them when it needs the room.
"""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from ceiba.base.side_process import helper

SAMPLE_S = 0.02
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of options in glibc's malloc.h."""
APART_BYTES = 2 << 20
"""With 256 kB the peak is 2 % lower, and reading takes a fifth longer."""
DECAY_MS = 50
"""After which Arrow's pool lets go of what was freed; 0 costs a quarter more time."""
KEPT_BYTES = 32 << 20
"""As far as glibc raises the bound by itself."""
LASTING_APART_BYTES = 256 << 10
"""In a process that goes on for long; with 1 MB what is left behind by each large object is twice as much."""


def anonymous_bytes() -> int:
    """Anonymous plus shared memory held now; 0 where the system does not tell."""
    other = helper()
    return sum(_anonymous_bytes(process) for process in ("self", *((str(other.process),) if other else ())))


def _anonymous_bytes(process: str) -> int:
    with contextlib.suppress(OSError):
        kilobytes = [
            int(line.split()[1])
            for line in Path(f"/proc/{process}/status").read_text().splitlines()
            if line.startswith(("RssAnon:", "RssShmem:"))
        ]
        return 1024 * sum(kilobytes)
    return 0


class PeakMemory:
    """Samples memory on a thread between entry and exit; `bytes` is the largest figure seen."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._done.is_set():
            self.bytes = max(self.bytes, anonymous_bytes())
            self._done.wait(SAMPLE_S)

    def __enter__(self) -> "PeakMemory":
        self.bytes = anonymous_bytes()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, anonymous_bytes())


def settle() -> None:
    """For a process that goes on for long, and now and then takes up large objects and lets others go: blocks of
    LASTING_APART_BYTES and more are mapped apart, so that nothing small that came later holds their room."""
    option = getattr(ctypes.CDLL(None), "mallopt", lambda name, value: 0)  # glibc alone has it
    option(MMAP_THRESHOLD, LASTING_APART_BYTES)
    option(TRIM_THRESHOLD, 2 * KEPT_BYTES)


def give_back() -> None:
    """Let the system have what Arrow and the C library keep of the memory that a phase of work has freed."""
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc alone has it
        trim(0)


@contextlib.contextmanager
def lean() -> Iterator[None]:
    """While large blocks come and go at random, as in reading: what is freed goes back to the system soon.

    Arrow takes the pool that keeps least, and the C library maps blocks of APART_BYTES and more apart. Left to itself
    it raises that bound with the first such block that is freed, and then small blocks that live on hold the room of
    large ones. Elsewhere the same large blocks are asked for at each step, and it is quicker to keep them.
    """
    if arrow := sys.modules.get("pyarrow"):
        with contextlib.suppress(NotImplementedError):  # not every build of Arrow has it
            arrow.set_memory_pool(arrow.jemalloc_memory_pool())
            arrow.jemalloc_set_decay_ms(DECAY_MS)
    option = getattr(ctypes.CDLL(None), "mallopt", lambda name, value: 0)  # glibc alone has it
    give_back()
    option(MMAP_THRESHOLD, APART_BYTES)
    option(TRIM_THRESHOLD, APART_BYTES)
    try:
        yield
    finally:
        give_back()
        option(MMAP_THRESHOLD, KEPT_BYTES)
        option(TRIM_THRESHOLD, 2 * KEPT_BYTES)
