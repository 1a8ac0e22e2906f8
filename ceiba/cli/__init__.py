"""Command: what a person types.
Takes       words.                   Gives   an exit code: 0 done, 1 failed, 2 the input is wrong, 130 or 143 stopped.
May touch   every room, by name, and only the one that the verb needs.   Never   work of its own.
To add one  write cli/<verb>.py with `main(arguments) -> int`, add one line to VERBS below."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

VERBS = {
    "init": ("ceiba.cli.init:main", "look at data, print its profile and write a recipe"),
    "train": ("ceiba.cli.train:main", "train what a recipe, or data and a target, describe"),
    "adapt": ("ceiba.cli.adapt:main", "train what begins with a bundle or a Hugging Face folder, or merge it"),
    "tune": ("ceiba.cli.tune:main", "search for the values of a recipe's keys that do best"),
    "evaluate": ("ceiba.cli.evaluate:main", "measure a bundle on data"),
    "predict": ("ceiba.cli.predict:main", "answer the rows of a file"),
    "export": ("ceiba.cli.export:main", "turn a bundle into what other runtimes run, and prove that it answers alike"),
    "import": ("ceiba.cli.import_onnx:main", "turn an ONNX file of any framework into a bundle"),
    "compress": ("ceiba.cli.compress:main", "make a bundle smaller or faster, if measuring proves it"),
    "serve": ("ceiba.cli.serve:main", "answer requests over HTTP"),
    "keys": ("ceiba.cli.keys:main", "make, list and revoke the keys of a server"),
    "seal": ("ceiba.cli.seal:main", "sign a bundle, encrypt it, or both"),
    "unseal": ("ceiba.cli.seal:unseal", "write the plain bundle of an encrypted one"),
    "generate": ("ceiba.cli.generate:main", "continue prompts with a language model"),
    "chat": ("ceiba.cli.chat:main", "talk with a language model"),
    "report": ("ceiba.cli.report:main", "show where the report of a bundle is, or its figures"),
    "runs": ("ceiba.cli.runs:main", "list what was trained, or compare runs"),
    "schema": ("ceiba.cli.schema:main", "print the JSON Schema of a recipe"),
    "doctor": ("ceiba.cli.doctor:main", "say what is installed and what this machine can do"),
}
"""Verb → where it lives, and what it is for."""


def resolve(name: str) -> Callable[..., Any]:
    """The function that `module:function` names, its module imported now.

    Importing makes many objects that stay: looking for garbage among them, then and later, only takes time.
    """
    module, attribute = name.split(":")
    was_on = gc.isenabled()
    gc.disable()
    try:
        found: Callable[..., Any] = getattr(import_module(module), attribute)
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
    return found


def usage() -> str:
    """The page of `ceiba --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {meaning}" for verb, (_, meaning) in VERBS.items())
    return (
        "usage: ceiba VERB [ARGUMENT ...]\n\n"
        "One recipe from raw data to a large model that is trained, measured and answers.\n\n"
        f"{verbs}\n\n`ceiba VERB --help` tells the rest. "
        "Exit codes: 0 done, 1 failed, 2 wrong input, 130 and 143 stopped.\n"
    )


TERMINATED = 128 + signal.SIGTERM
INTERRUPTED = 128 + signal.SIGINT


def _terminate(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt(TERMINATED)


@contextmanager
def terminating() -> Iterator[None]:
    """Within, SIGTERM ends a verb as Ctrl-C does: what is half written is removed first.

    A verb may listen for itself; only a main thread may listen at all.
    """
    try:
        before = signal.signal(signal.SIGTERM, _terminate)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; an error that Ceiba raises on purpose or the system reports is one line on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if words[0] == "--version":
        print(import_module("ceiba").__version__)
        return 0
    errors, ranks = import_module("ceiba.base.errors"), import_module("ceiba.base.ranks")
    try:
        if words[0] not in VERBS:
            raise errors.InputError(
                "ceiba must be given a verb it knows", repr(words[0]), errors.nearest(words[0], VERBS)
            )
        with terminating():
            return int(resolve(VERBS[words[0]][0])(words[1:]))
    except errors.CeibaError as error:
        if not isinstance(error, errors.Followed | errors.Stopped) or ranks.leads():
            print(f"ceiba: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt as stop:
        print("ceiba: stopped.", file=sys.stderr)
        return int(stop.args[0]) if stop.args else INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:  # not of a file that the user could look at
            raise
        print(f"ceiba: {error.filename}: {error.strerror or error.args[0]} (errno {error.errno}).", file=sys.stderr)
        return 1
