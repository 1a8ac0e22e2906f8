"""A convolutional network on Fashion-MNIST beside Lightning and Keras: images a second, and time to the first step.

python -m bench.peers_cnn [NAME=PEER/bin/python ...] [--threads 2] [--rounds 3] [--rows 12800] [--quick]

NAME is lightning, keras_torch or keras_tensorflow; PEER an environment made from bench/peers/NAME.txt. The network:
3 x 3 convolutions of 32 and 64 channels, each with ReLU and 2 x 2 maximum, dropout 0.25, dense 128, ten logits; AdamW,
128 rows a step, float32, as many threads for each. Images a second are those of epochs 2 and 3, without validation;
Ceiba is told of a longer training, as `auto` measures nothing before one of seconds, and stopped after epoch 3.
`ceiba_fp32` is told the number format and left the memory format. Time to the first step is that from starting the
process to the end of step one, from the raw files; Ceiba's has an empty cache, and it also profiles and splits the
rows, and measures its settings. Ceiba clips no gradient here, but keeps its seeds, schedule, log and check for losses
that are not finite; the peers keep no log, no checkpoint and no progress bar. The peers hold all pixels as float32 in
memory; Ceiba maps bytes. The commands are run A B C D A B C D.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.work import CEIBA, DATA, ROOT, median, print_table
from ceiba.base.yaml import write_yaml

BATCH_ROWS = 128
EPOCHS, TOLD_EPOCHS = 3, 60
SCRIPTS = {"lightning": "cnn_lightning", "keras_torch": "cnn_keras", "keras_tensorflow": "cnn_keras"}
FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
Figures = dict[str, Any]


def some_rows(folder: Path, num_rows: int) -> None:
    """The first rows of Fashion-MNIST as files of the same form."""
    for name, header, size in zip(FILES, (16, 8), (784, 1), strict=True):
        data = gzip.decompress((DATA / "fashion_mnist" / name).read_bytes())
        count = num_rows.to_bytes(4, "big")
        data = data[:4] + count + data[8 : header + num_rows * size]
        (folder / name).write_bytes(gzip.compress(data, 1))


def peer(name: str, python: str, script: str, words: list[str], threads: int) -> Figures:
    """A peer's figures: it prints the moment of its first step, and rows a second of each epoch from the second on."""
    backend = {"KERAS_BACKEND": name.partition("_")[2]} if name.startswith("keras") else {}
    environment = {**os.environ, **backend, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.time()
    done = subprocess.run(
        [python, str(ROOT / "bench" / "peers" / f"{script}.py"), *words, str(threads)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return {"first": found["first"] - began, "rate": median(found["rates"])}


def ceiba(recipe: Figures, batch_rows: int, threads: int, *more: str) -> Figures:
    """The same of Ceiba: one process until its first line of log, and one for the rates; `more` is set in the recipe.

    Both are killed when they have shown what they are to show.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "recipe.yaml").write_text(write_yaml(recipe))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CEIBA_CACHE": str(folder / "cache")}

        def start(out: str, log_every: int) -> subprocess.Popen[str]:
            words = ["train", str(folder / "recipe.yaml"), "--out", str(folder / out)]
            sets = [f"train.threads={threads}", f"train.log_every={log_every}", f"train.epochs={TOLD_EPOCHS}", *more]
            command = [*CEIBA, *words, *(word for one in sets for word in ("--set", one))]
            return subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
            )

        def shown(out: str, log_every: int, mark: str, times: int) -> list[Figures]:
            process, log = start(out, log_every), folder / out / "log.jsonl"
            while process.poll() is None and not (log.exists() and log.read_text().count(mark) >= times):
                time.sleep(0.05)
            if process.poll() is not None:
                raise SystemExit(process.communicate()[1])
            process.kill()
            process.communicate()
            return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]

        began = time.time()
        first = shown("first", 1, "\n", 1)[0]["time"] - began
        return {"first": first, "rate": median(rates(shown("whole", 5, '"epoch"', EPOCHS), batch_rows))}


def rates(lines: list[Figures], batch_rows: int) -> list[float]:
    """Rows a second of each epoch from the second on, between its first line of log and its last."""
    found: list[float] = []
    epoch: list[Figures] = []
    for line in lines:
        if "epoch" not in line:
            epoch.append(line)
            continue
        steps = epoch[-1]["step"] - epoch[0]["step"]
        found.append(steps * batch_rows / (epoch[-1]["time"] - epoch[0]["time"]))
        epoch = []
    return found[1:]


def compare(runs: dict[str, Callable[[], Figures]], rounds: int, what: str) -> None:
    """Take turns, and print a row a command."""
    found: dict[str, list[Figures]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
            print(name, found[name][-1], file=sys.stderr, flush=True)
    rows = []
    for name, figures in found.items():
        ratios = [
            [ours["rate"] / one["rate"] for ours, one in zip(found[kind], figures, strict=True)]
            for kind in found
            if kind.startswith("ceiba")
        ]
        rate, first = (median([one[key] for one in figures]) for key in ("rate", "first"))
        rows.append([name, f"{rate:,.0f}", *(f"{median(each):.2f}" for each in ratios), f"{first:.2f}"])
    head = [f"{kind}'s rate / this" for kind in found if kind.startswith("ceiba")]
    print_table(["command", what, *head, "s to the first step"], rows)


def arguments(name: str, peers: str, rows: int) -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("peers", nargs="*", metavar="NAME=PYTHON", help=f"of {peers}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=rows, help="of the data, for a shorter look")
    parser.add_argument("--quick", action="store_true", help="few rows, once: only to see that it runs")
    return parser.parse_args()


def main() -> None:
    """Write the rows and compare."""
    given = arguments("bench.peers_cnn", ", ".join(SCRIPTS), 12_800)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        some_rows(folder, 4_000 if given.quick else given.rows)
        recipe = {
            "data": {"train": str(folder / FILES[0])},
            "inputs": {"image": {"type": "image", "encoder": {"type": "cnn", "channels": [32, 64], "norm": False}}},
            "outputs": {"label": "category"},
            "model": {"dim": 128},
            "train": {"batch_rows": BATCH_ROWS, "clip_norm": None},
            "evaluate": {"baselines": False},
        }
        runs = {"ceiba": partial(ceiba, recipe, BATCH_ROWS, given.threads)}
        runs["ceiba_fp32"] = partial(ceiba, recipe, BATCH_ROWS, given.threads, "train.precision=fp32")
        words = [*(str(folder / file) for file in FILES), str(EPOCHS), str(BATCH_ROWS)]
        for one, python in (word.split("=") for word in given.peers):
            runs[one] = partial(peer, one, python, SCRIPTS[one], words, given.threads)
        compare(runs, 1 if given.quick else given.rounds, "images/s")


if __name__ == "__main__":
    main()
