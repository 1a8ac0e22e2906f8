"""Kill -9 at random moments, resume until done: are the weights, and every loss on the way, those of a quiet run?

python -m bench.kill [mlp cnn lstm transformer] [--runs 20] [--kills 1] [--workers 0 2] [--seed 0] [--quick]

Each case is trained once in peace, then again and again in processes that are killed at a random moment after training
has begun: in a step, while a checkpoint is written, in validation, in the evaluation, while the bundle is written.
After each kill the next process goes on with `--resume`, or from the start if no checkpoint was written yet; the one
that follows the last kill is left in peace. A checkpoint is written each few steps. Equal means: the weights of the
bundle are the same bytes, and the history of training holds the same losses and metrics to the last bit.

A process is `ceiba train` forked from one that has imported everything and computed nothing: as dead after kill -9 as
any other, and ready a second sooner.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.work import ROOT, print_table
from ceiba.base.yaml import write_yaml
from ceiba.cli import main as ceiba

PINNED = {
    "seed": 3, "threads": 1, "log_every": 5, "precision": "fp32", "compile": False, "channels_last": False,
    "checkpoint": {"every_steps": 7, "every_seconds": None}, "ema": 0.9,
}  # fmt: skip
TITLES = {"data": {"train": str(ROOT / "examples" / "titles.tsv")}, "outputs": {"kind": "category"}}


def texts(encoder: dict[str, Any]) -> dict[str, Any]:
    """A recipe for short texts."""
    return {
        **TITLES, "inputs": {"title": {"type": "text", "max_tokens": 16, "tokenizer": "character", "encoder": encoder}},
        "model": {"dim": 16}, "train": {"epochs": 2, "batch_rows": 32},
    }  # fmt: skip


CASES: dict[str, dict[str, Any]] = {
    "MLP": {
        "data": {"train": str(ROOT / "examples" / "california_housing.csv")},
        "outputs": {"median_house_value": "number"},
        "model": {"dim": 16, "table": {"type": "mlp", "width": 32, "dropout": 0.1}},
        "train": {"epochs": 1, "batch_rows": 256},
    },
    "CNN, augmented": {
        "data": {"train": str(ROOT / "examples" / "clothes.zip")},
        "inputs": {"image": {"type": "image", "encoder": {"type": "cnn", "channels": [8, 16]}}},
        "outputs": {"label": "category"},
        "train": {"epochs": 4, "batch_rows": 16, "augment": {"flip": True, "crop": 2, "erase": 0.5}},
    },
    "LSTM, dropout": texts({"type": "lstm", "width": 16, "dropout": 0.5}),
    "Transformer, dropout": texts({"type": "transformer", "layers": 2, "heads": 2, "dropout": 0.2}),
}


def command(words: Sequence[str], errors: Path) -> None:
    """`ceiba WORDS`, told to a file and to nobody."""
    for stream, path in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), stream)
    os._exit(ceiba(words))


def start(recipe: Path, out: Path, is_resumed: bool = False) -> BaseProcess:
    """`ceiba train` as a process of its own."""
    words = ["train", str(recipe), "--out", str(out), *(["--resume"] if is_resumed else [])]
    target, errors = multiprocessing.get_context("forkserver").Process, out.with_suffix(".txt")
    process: BaseProcess = target(target=command, args=(words, errors))
    process.start()
    return process


def finish(process: BaseProcess, out: Path, timeout_s: float | None = None) -> bool:
    """Wait for the end of a process that must succeed, if it ends in time."""
    process.join(timeout_s)
    if process.exitcode:
        raise SystemExit(out.with_suffix(".txt").read_text())
    return process.exitcode is not None


def until_training(process: BaseProcess, out: Path) -> None:
    """Wait until the process has opened its log of training, or has ended."""
    mark = f".{process.pid}"
    while process.is_alive() and not any(path.name.endswith(mark) for path in out.glob("events/*")):
        time.sleep(0.005)


def result(out: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """The weights as bytes, and the figures of each epoch but for its time."""
    report = json.loads((out / "bundle" / "report.json").read_text())
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in report["history"]]
    return (out / "bundle" / "weights.safetensors").read_bytes(), history


def quiet(recipe: Path, out: Path) -> float:
    """An undisturbed run; seconds from the start of training to the end of the process."""
    process = start(recipe, out)
    until_training(process, out)
    began = time.monotonic()
    finish(process, out)
    return time.monotonic() - began


def disturbed(recipe: Path, out: Path, whole_s: float, chance: random.Random, most: int, count: Counter[str]) -> None:
    """A run that is killed until it has ended or was killed often enough."""
    for kills in range(most + 1):
        is_resumed = any(out.glob("checkpoints/step-*"))
        process = start(recipe, out, is_resumed)
        count["resumed" if is_resumed else "fresh"] += 1
        until_training(process, out)
        if finish(process, out, chance.uniform(0, whole_s) if kills < most else None):
            return
        process.kill()
        process.join()
        count["kills"] += 1
        if (out / "bundle").exists():
            return


def measured(name: str, workers: int, runs: int, kills: int, chance: random.Random) -> list[object]:
    """The cells of one case."""
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        case = CASES[name]
        more = {"workers": workers} if workers else {}
        told = {**case, "train": {**case["train"], **PINNED, **more}, "evaluate": {"baselines": False}}
        (folder / "recipe.yaml").write_text(write_yaml(told))
        quiet(folder / "recipe.yaml", folder / "cache")  # prepares the rows
        whole_s = quiet(folder / "recipe.yaml", folder / "quiet")
        wanted = result(folder / "quiet")
        for run in range(runs):
            out = folder / str(run)
            disturbed(folder / "recipe.yaml", out, whole_s, chance, kills, count)
            weights, history = result(out)
            count["weights"] += weights == wanted[0]
            count["history"] += history == wanted[1]
            print(name, workers, f"{whole_s:.1f} s", dict(count), file=sys.stderr, flush=True)
    equal = [f"{count[part]} of {runs}" for part in ("weights", "history")]
    return [name, workers, f"{whole_s:.1f}", count["kills"], count["resumed"], count["fresh"], *equal]


def main() -> None:
    """Print a row a case."""
    parser = argparse.ArgumentParser(prog="bench.kill")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)} (or how one begins); all when left out")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=1, help="at most so many in a run")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="processes that gather batches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one run a case: only to see that it runs")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    loaded = ["__main__", "ceiba.run", "ceiba.studies", "ceiba.cli.train"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(loaded)
    chance, rows = random.Random(given.seed), []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CEIBA_CACHE"] = cache
        for workers in given.workers:
            for name in CASES:
                if given.cases and not name.lower().startswith(tuple(given.cases)):
                    continue
                rows.append(measured(name, workers, 1 if given.quick else given.runs, given.kills, chance))
    head = ["case", "workers", "quiet run, s", "kills", "resumed", "started afresh", "equal weights", "equal history"]
    print_table(head, rows)


if __name__ == "__main__":
    main()
