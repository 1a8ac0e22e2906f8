"""A random bit of a random file of the newest checkpoint flipped, or the file cut short: is it seen, and made good?

python -m bench.flips [--runs 200] [--seed 0] [--quick]

A small run is trained once with a checkpoint each few steps; its last two are kept. Then again and again a copy of them
is damaged in one place and the run is resumed from it, to its end. It passes if the damage is told with its reason, the
run goes on from the checkpoint before, and its final weights are the bytes of the undamaged run's.
"""

import argparse
import contextlib
import io
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.kill import result
from bench.work import ROOT, print_table
from ceiba.run import train

OVERRIDES = (
    "train.epochs=3", "train.threads=1", "train.checkpoint.every_steps=20", "train.checkpoint.every_seconds=null",
    "evaluate.baselines=false",
)  # fmt: skip
RECIPE = {
    "data": {"train": str(ROOT / "examples" / "california_housing.csv")},
    "outputs": {"median_house_value": "number"},
    "model": {"dim": 16, "table": {"type": "mlp", "width": 32}},
}


def damage(path: Path, kind: str, chance: random.Random) -> None:
    """Flip one bit of a file, or keep only its beginning."""
    data = bytearray(path.read_bytes())
    place = chance.randrange(len(data))
    if kind == "bit":
        data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(data if kind == "bit" else data[:place])


def resumed(out: Path) -> str:
    """Go on with a run to its end; what it told on the way."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        train(RECIPE, out, resume=out.exists(), overrides=OVERRIDES)
    return told.getvalue()


def main() -> None:
    """Print a row a file."""
    parser = argparse.ArgumentParser(prog="bench.flips")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="four runs: only to see that it runs")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    tried: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        resumed(whole)
        wanted = result(whole)
        before, newest = sorted((whole / "checkpoints").glob("step-*"))
        files = sorted(path.name for path in newest.iterdir())
        for run in range(4 if given.quick else given.runs):
            out = Path(folder) / str(run)
            shutil.copytree(whole / "checkpoints", out / "checkpoints")
            name, kind = chance.choice(files), chance.choice(["bit", "cut"])
            damage(out / "checkpoints" / newest.name / name, kind, chance)
            told = resumed(out)
            is_told = f"passed over: {newest.name}: " in told and f"Resuming from {before.name}" in told
            tried[name, kind] += 1
            passed[name, kind] += is_told and result(out) == wanted
            if passed[name, kind] < tried[name, kind]:
                print(run, name, kind, told, file=sys.stderr, flush=True)
            shutil.rmtree(out)
    rows = [[name, *(f"{passed[name, kind]} of {tried[name, kind]}" for kind in ("bit", "cut"))] for name in files]
    print_table(["file", "bit flipped", "cut short"], rows)
    print(f"\n{passed.total()} of {tried.total()} were seen and made good")


if __name__ == "__main__":
    main()
