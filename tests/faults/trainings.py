"""Small trainings that something happens to, each in a process forked from one that has imported everything.

A child that is killed with -9 is as dead as one started afresh, and costs a tenth of a second. Jobs are functions of
this file; a fault is told as (what, where, at): at the at-th time that the training passes `where`, `what` happens.
"""

import contextlib
import ctypes
import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ceiba.answers import ClassesAnswer
from ceiba.base import files
from ceiba.base.errors import CeibaError
from ceiba.base.files import hold
from ceiba.batches import AugmentSpec, Batch, Batches
from ceiba.cli import main
from ceiba.encoders import TABLE_ENCODERS
from ceiba.fields import TableLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.train import Trained, TrainSpec, fit, loop

ROWS, BATCH_ROWS, EPOCHS = 70, 16, 3
PER_EPOCH = 5
STEPS = EPOCHS * PER_EPOCH
ANSWERS = {"y": ClassesAnswer(("no", "yes", "maybe"))}
IDENTITY = {"recipe": "r", "data": "d"}
EVERY_STEPS = 4
OPTIONS: dict[str, Any] = {
    "epochs": EPOCHS, "batch_rows": BATCH_ROWS, "augment": {"noise": 0.1}, "log_every": 3, "compile": False,
    "threads": 1, "checkpoint": {"every_steps": EVERY_STEPS, "every_seconds": None}, "ema": 0.9,
}  # fmt: skip
Fault = tuple[str, str, int]
ALWAYS = 0
NOT_ALLOWED = 77
NEW_MOUNTS, READ_ONLY, REMOUNT = 0x20000, 1, 32


def arrays(num_rows: int = ROWS, seed: int = 0) -> Arrays:
    """Four numbers a row, and a class of three that two of them tell."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(num_rows, 4)).astype(np.float32)
    return Arrays(
        folder=Path(), num_rows=num_rows, parts={"table.numbers": numbers},
        targets={"y": (numbers[:, 0] > 0).astype(np.int64) + (numbers[:, 1] > 1)},
        weight=None, rows=np.arange(num_rows),
    )  # fmt: skip


def model() -> Model:
    """A small network with dropout."""
    encoder = TABLE_ENCODERS["mlp"].model_validate({"width": 16, "dropout": 0.2})
    spec = ModelSpec(dim=8, encoders={"table": encoder}, heads={"y": HEADS["classes"]()})
    layout = TableLayout(names=("a", "b", "c", "d"), num_numbers=4, cardinalities=(), edges=((),) * 4)
    return build_model(spec, {"table": layout}, {"y": OutputLayout("classes", 3, (1, 1, 1))}, seed=1)


class Watched(Batches):
    """Batches that tell when one is asked for."""

    pass_by: Callable[[str], None]

    def epoch(self, epoch: int, start: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """As Batches."""
        for batch in super().epoch(epoch, start, share):
            self.pass_by("step")
            yield batch

    def in_order(self, share: tuple[int, int] = (0, 1)) -> Iterator[Any]:
        """As Batches."""
        for one in super().in_order(share):
            self.pass_by("validation")
            yield one


def watched(data: Arrays, batch_rows: int, augment: AugmentSpec, pass_by: Callable[[str], None]) -> Batches:
    """Batches that call `pass_by`."""
    kind = type("Watching", (Watched,), {"pass_by": staticmethod(pass_by)})
    found: Batches = kind(data, batch_rows, 0, augment)
    return found


class Faults:
    """Counts what passes by, and does at the right moment what was told."""

    def __init__(self, *faults: Fault):
        self.faults, self.seen = faults, {}  # type: ignore[var-annotated]

    def __call__(self, where: str) -> None:
        self.seen[where] = self.seen.get(where, 0) + 1
        for what, place, at in self.faults:
            if place == where and at in (self.seen[where], ALWAYS):
                self.happen(what)

    def happen(self, what: str) -> None:
        """A signal by its name, an error by its number, or a pause in seconds."""
        if what.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[what])
            time.sleep(0.05)  # a signal is heard between two lines of the main thread
        elif what.startswith("errno "):
            number = int(what.split()[1])
            raise OSError(number, os.strerror(number))
        elif what == "memory":
            raise torch.OutOfMemoryError("DefaultCPUAllocator: not enough memory")
        elif what.startswith("at most"):
            most = int(what.split()[-1])
            kind = resource.RLIMIT_NOFILE if "files" in what else resource.RLIMIT_FSIZE
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
        elif what.startswith("fill"):
            with contextlib.suppress(OSError), Path(what.split()[1]).open("wb") as file:
                while True:
                    file.write(bytes(1024))
                    file.flush()
        else:
            time.sleep(float(what))

    def operation(self, name: str, path: Path) -> None:
        """What a write, an fsync or a rename passes by."""
        if any(part.startswith((files.MARK, "step-")) or part == "checkpoints" for part in path.parts):
            self("operation")
            self(name)


def training(
    folder: Path, resume: bool = False, faults: tuple[Fault, ...] = (), data: Arrays | None = None, **options: Any
) -> tuple[Model, Trained]:
    """One training in this process."""
    spec = TrainSpec.model_validate(OPTIONS | options)
    happening = Faults(*faults)
    trained = model()
    layer = next(part for part in trained.modules() if isinstance(part, torch.nn.Linear))
    layer.register_forward_hook(lambda *_: happening("forward"))
    train = watched(data or arrays(), spec.batch_rows, spec.augment, happening)
    valid = watched(arrays(40, seed=1), 32, AugmentSpec(), happening)
    before, chosen = files.on_operation, loop.choose
    files.on_operation = happening.operation
    loop.choose = lambda *told: (happening("choice"), chosen(*told))[1]  # type: ignore[assignment]
    try:
        with hold(folder):
            return trained, fit(trained, train, valid, ANSWERS, spec, folder, IDENTITY, resume)
    finally:
        files.on_operation, loop.choose = before, chosen
        with contextlib.suppress(OSError):
            (folder / "seen.json").write_text(json.dumps(happening.seen))


def job(folder: Path, resume: bool, faults: tuple[Fault, ...], options: dict[str, Any]) -> None:
    """One training as a process: what it found, or its error, is left in the folder."""
    torch.set_num_threads(1)
    try:
        trained, found = training(folder, resume, faults, **options)
    except (CeibaError, OSError) as error:
        for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
            resource.setrlimit(kind, (resource.getrlimit(kind)[1],) * 2)
        (folder / "error").write_text(f"{error}\n")
        sys.exit(error.exit_code if isinstance(error, CeibaError) else 1)
    save_file(trained.state_dict(), folder / "weights.safetensors")
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in found.history]
    (folder / "history.json").write_text(json.dumps(history))


def compiled(folder: Path, resume: bool, is_stopped: bool) -> None:
    """A training by compiled kernels; it may be asked to stop when the C++ compiler begins with the first of them."""
    folder.mkdir(exist_ok=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder.parent / "kernels")
    if is_stopped:
        at_call("torch._inductor.cpp_builder:run_compile_cmd", 1, Faults(("SIGTERM", "here", 1)))
    job(folder, resume, (), {"compile": True, "epochs": 1})


def on_small_disk(folder: Path, size: str, target: Callable[..., None], *told: Any) -> None:
    """A job whose folder is a disk of its own, which only this process sees, of some bytes or `read-only`."""
    system = ctypes.CDLL(None, use_errno=True)
    no_flags = ctypes.c_ulong(0)
    if system.unshare(NEW_MOUNTS) or system.mount(b"none", b"/", None, ctypes.c_ulong(1 << 18 | 1 << 14), None):
        sys.exit(NOT_ALLOWED)
    room = b"size=1m" if size == "read-only" else f"size={size}".encode()
    if system.mount(b"none", str(folder).encode(), b"tmpfs", no_flags, room):
        sys.exit(NOT_ALLOWED)
    if size == "read-only":
        system.mount(b"none", str(folder).encode(), None, ctypes.c_ulong(READ_ONLY | REMOUNT), None)
    target(*told)


def full_disk(folder: Path, outside: Path) -> None:
    """A training whose disk fills up in its third save; then there is room again, and it goes on."""
    torch.set_num_threads(1)
    try:
        training(folder / "run", faults=((f"fill {folder / 'filler'}", "rename", 2),))
    except (CeibaError, OSError) as error:
        (outside / "error").write_text(str(error))
    (outside / "good").write_text(" ".join(path.name for path in checkpoints(folder / "run")))
    left = list(folder.rglob(f"{files.MARK}*"))
    (folder / "filler").unlink()
    job(folder / "run", True, (), {})
    for name in ("weights.safetensors", "history.json"):
        (outside / name).write_bytes((folder / "run" / name).read_bytes())
    sys.exit(1 if left else 0)


def checkpoints(folder: Path) -> list[Path]:
    """Those of a run that have their final name, each held against its manifest."""
    found = sorted((folder / "checkpoints").glob("step-*"))
    for path in found:
        files.verify_manifest(path)
    return found


def is_equal(folder: Path, other: Path) -> bool:
    """Whether two trainings have the same weights and the same history, bit for bit."""
    return all(
        (folder / name).read_bytes() == (other / name).read_bytes() for name in ("weights.safetensors", "history.json")
    )


def command(words: list[str], folder: Path, faults: tuple[tuple[str, str, int], ...] = ()) -> None:
    """`ceiba WORDS` as a process in a folder, what it says on standard error left in `error`."""
    os.chdir(folder)
    os.environ["CEIBA_CACHE"] = str(folder / "cache")
    os.dup2(os.open(folder / "error", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    happening = Faults(*((what, "here", 1) for what, _, _ in faults))
    for _, where, at in faults:
        at_call(where, at, happening)
    sys.exit(main(words))


def at_call(where: str, at: int, happening: Faults) -> None:
    """Let the fault happen at the at-th call of a function, named `module:function`."""
    module, name = where.split(":")
    original, calls = getattr(importlib.import_module(module), name), [0]

    def instead(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            happening("here")
        return original(*given, **named)

    setattr(importlib.import_module(module), name, instead)


def start(target: Callable[..., None], *told: Any) -> BaseProcess:
    """A function of this file in a process of its own."""
    process = multiprocessing.get_context("forkserver").Process(target=target, args=told, daemon=True)
    process.start()
    return process


def ended(process: BaseProcess, timeout_s: float = 60.0) -> int | None:
    """The exit code of a process; below zero the signal that ended it."""
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError("the child did not end")
    return process.exitcode


def run(folder: Path, *faults: Fault, resume: bool = False, **options: Any) -> int | None:
    """One training in a child, to its end; its exit code."""
    folder.mkdir(exist_ok=True, parents=True)
    return ended(start(job, folder, resume, faults, options))
