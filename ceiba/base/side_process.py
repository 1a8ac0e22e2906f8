"""A second process for work beside the main one's, out of reach of its Python lock and its pools of threads.

It is forked before anything is loaded, while this process is one small thread, which is the only time when that is safe
everywhere; and it ends with the process that made it, however that ends.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any, NoReturn

from ceiba.base.errors import MissingPackage
from ceiba.base.optional import require

PR_SET_PDEATHSIG = 1


class Helper:
    """Calls functions by name in a process of its own, one at a time; what a function keeps is there for the next."""

    def __init__(self, *modules: str):
        """`modules` are loaded there at once, so that the first call finds them."""
        self._connection, theirs = Pipe()
        self.process = os.fork()
        if not self.process:
            self._connection.close()
            _serve(theirs, modules)
        theirs.close()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result.

        Raises: what the function raised there; ChildProcessError if the process is gone.
        """
        try:
            self._connection.send((function, arguments))
            done, result = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise ChildProcessError("the helping process ended") from error
        if not done:
            raise result
        return result


def _serve(connection: Connection, modules: tuple[str, ...]) -> NoReturn:
    """Answer calls until the other end is closed."""
    if sys.platform == "linux":
        _end_with_parent()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)  # who reads the main process's output must not wait for this one
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)  # the main process decides, and its end is this one's
    try:
        with suppress(MissingPackage):  # the call that needs it will say so
            for name in modules:
                require(name, "train", "help")
        while True:
            function, arguments = connection.recv()
            try:
                answer = (True, function(*arguments))
            except Exception as error:
                answer = (False, error)
            connection.send(answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        os._exit(0)


def _end_with_parent() -> None:
    """Let the kernel end this process when the one that made it is gone, even while this one stands still."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Helpers:
    """Several helpers, to be made before anything large is loaded."""

    def __init__(self, count: int):
        self.all = [Helper() for _ in range(count)]


_started: list[Helper] = []


def start_helper(*modules: str) -> None:
    """Start the helper of this process; only for a process that has loaded nothing yet. Does nothing off Linux."""
    if sys.platform == "linux" and (os.cpu_count() or 1) > 1:
        _started.append(Helper(*modules))


def helper() -> Helper | None:
    """The helper, where one was started."""
    return _started[0] if _started else None


@contextmanager
def paused() -> Iterator[None]:
    """Within: the helper stands still, so that what is measured here has the machine to itself."""
    others = [one.process for one in _started]
    for process in others:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in others:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
