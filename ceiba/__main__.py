"""`python -m ceiba` is `ceiba`: one command as a process of its own."""

import atexit
import os
import sys
from types import FrameType
from typing import NoReturn

from ceiba.base.ranks import leads
from ceiba.base.side_process import start_helper
from ceiba.cli import main


class WithoutPandas:
    """Where an array meets numpy pyarrow asks for pandas and imports it where it is installed: 0.3 s for no use to a
    command.

    Only what Ceiba's own calls of pyarrow ask for is answered with no; whoever else asks finds what is there.
    """

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Leave all else to the finders that follow."""
        if name == "pandas" and _asker().startswith("ceiba."):
            raise ModuleNotFoundError("a command does without pandas", name=name)


def _asker() -> str:
    """The module whose code brought an import about; compiled code, as pyarrow's, has no frame and is passed over."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("importlib."):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", ""))


def command() -> NoReturn:
    """Run the words on the command line and leave with their exit code."""
    sys.meta_path.insert(0, WithoutPandas())
    if sys.argv[1:2] == ["train"] and not {"-h", "--help", "--nproc"} & set(sys.argv) and leads():
        start_helper("ceiba.evaluate", "sklearn.ensemble")
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 1
    # Python takes half a second to pull torch down piece by piece; the system frees the whole at once.
    atexit._run_exitfuncs()
    os._exit(code)


if __name__ == "__main__":
    command()
