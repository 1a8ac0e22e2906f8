"""`python -m ceiba` is `ceiba`: one command as a process of its own."""

import atexit
import os
import sys
from typing import NoReturn

from ceiba.base.ranks import leads
from ceiba.base.side_process import start_helper
from ceiba.cli import main


class WithoutPandas:
    """With its first array pyarrow asks for pandas and imports it where it is installed: 0.3 s for no use to a command.

    Only that first question is answered with no; whoever asks later finds what is there.
    """

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Leave all else to the finders that follow."""
        if name == "pandas":
            sys.meta_path.remove(self)
            raise ModuleNotFoundError("a command does without pandas", name=name)


EXPORTING = ("export", "compress")
"""Verbs that load torch's compiler, which asks for pandas too and does not take no for an answer."""


def command() -> NoReturn:
    """Run the words on the command line and leave with their exit code."""
    if not set(sys.argv[1:2]) & set(EXPORTING):
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
