"""Kill -9 at random moments, resume until done: are the weights, and every loss on the way, those of a quiet run?

python -m bench.kill [mlp cnn lstm transformer] [--runs 20] [--seed 0] [--quick]

Each case is trained once in peace, then again and again in processes that are killed at a random moment after training
has begun: in a step, while a checkpoint is written, in validation, in the evaluation, while the bundle is written.
After each kill the next process goes on with `--resume`, or from the start if no checkpoint was written yet; the one
that follows MOST_KILLS kills is left in peace. A checkpoint is written each few steps. Equal means: the weights of the
bundle are the same bytes, and the history of training holds the same losses and metrics to the last bit.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.work import CEIBA, DATA, ROOT, print_table

MOST_KILLS = 4
COMMON = (
    f"data.root={DATA}", "train.threads=1", "train.log_every=5", "train.checkpoint.every_steps=7",
    "train.checkpoint.every_seconds=null", "train.precision=fp32", "train.patience=null", "evaluate.baselines=false",
)  # fmt: skip
TEXT = "{type: text, max_tokens: 32, encoder: {type: %s}}"
CASES = {
    "MLP": ("adult", "model.table={type: mlp}", "train.epochs=5"),
    "CNN, augmented": (
        "fashion_cnn", f"data.train={DATA / 'fashion_mnist' / 't10k-images-idx3-ubyte.gz'}", "data.test=null",
        "inputs.image={type: image, encoder: {type: cnn, channels: [8, 16]}}",
        "train.augment={flip: true, crop: 2, erase: 0.5}", "train.epochs=3",
    ),
    "LSTM, dropout": (
        "ag_news_lstm", f"inputs.text={TEXT % 'lstm, width: 32, dropout: 0.5'}", "model.dim=32", "train.epochs=3",
    ),
    "Transformer, dropout": (
        "ag_news_transformer", f"inputs.text={TEXT % 'transformer, dropout: 0.2'}", "model.dim=32", "train.epochs=3",
    ),
}  # fmt: skip


def start(case: Sequence[str], out: Path, is_resumed: bool = False) -> subprocess.Popen[str]:
    """`ceiba train` as a process of its own."""
    recipe, *overrides = case
    sets = [word for override in (*COMMON, *overrides) for word in ("--set", override)]
    command = [*CEIBA, "train", str(ROOT / "recipes" / f"{recipe}.yaml"), "--out", str(out), *sets]
    more = ["--resume"] if is_resumed else []
    return subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], timeout_s: float | None = None) -> None:
    """Wait for the end of a process that must succeed, if it ends in time."""
    _, errors = process.communicate(timeout=timeout_s)
    if process.returncode:
        raise SystemExit(errors)


def until_training(process: subprocess.Popen[str], out: Path) -> None:
    """Wait until the process has opened its log of training, or has ended."""
    mark = f".{process.pid}"
    while process.poll() is None and not any(path.name.endswith(mark) for path in out.glob("events/*")):
        time.sleep(0.01)


def result(out: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """The weights as bytes, and the figures of each epoch but for its time."""
    report = json.loads((out / "bundle" / "report.json").read_text())
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in report["history"]]
    return (out / "bundle" / "weights.safetensors").read_bytes(), history


def quiet(case: Sequence[str], out: Path) -> float:
    """An undisturbed run; seconds from the start of training to the end of the process."""
    process = start(case, out)
    until_training(process, out)
    began = time.monotonic()
    finish(process)
    return time.monotonic() - began


def disturbed(case: Sequence[str], out: Path, whole_s: float, chance: random.Random, count: Counter[str]) -> None:
    """A run that is killed until it has ended or was killed often enough."""
    for kills in range(MOST_KILLS + 1):
        is_resumed = any(out.glob("checkpoints/step-*"))
        process = start(case, out, is_resumed)
        count["resumed" if is_resumed else "fresh"] += 1
        until_training(process, out)
        try:
            finish(process, chance.uniform(0, whole_s) if kills < MOST_KILLS else None)
            return
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            count["kills"] += 1
        if (out / "bundle").exists():
            return


def main() -> None:
    """Print a row a case."""
    parser = argparse.ArgumentParser(prog="bench.kill")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)} (or how one begins); all when left out")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one run a case: only to see that it runs")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    chance, runs, rows = random.Random(given.seed), 1 if given.quick else given.runs, []
    for name, case in CASES.items():
        if given.cases and not name.lower().startswith(tuple(given.cases)):
            continue
        count: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            whole_s = quiet(case, Path(folder) / "quiet")
            wanted = result(Path(folder) / "quiet")
            for run in range(runs):
                out = Path(folder) / str(run)
                disturbed(case, out, whole_s, chance, count)
                weights, history = result(out)
                count["weights"] += weights == wanted[0]
                count["history"] += history == wanted[1]
                print(name, f"{whole_s:.1f} s", dict(count), file=sys.stderr, flush=True)
        equal = [f"{count[part]} of {runs}" for part in ("weights", "history")]
        rows.append([name, f"{whole_s:.1f}", count["kills"], count["resumed"], count["fresh"], *equal])
    head = ["case", "quiet run, s", "kills", "resumed", "started afresh", "equal weights", "equal history"]
    print_table(head, rows)


if __name__ == "__main__":
    main()
