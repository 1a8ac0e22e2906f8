"""A small table and its recipe, for commands that something happens to."""

import json
from pathlib import Path
from typing import Any

ROWS = "age,city,score,rich\n" + "".join(
    f"{20 + row * 7 % 50},{'Rome' if row % 3 else 'Oslo'},{row * 37 % 11},{'yes' if row * 7 % 50 > 25 else 'no'}\n"
    for row in range(120)
)
RECIPE = """
data: {train: people.csv}
outputs: {rich: binary}
model: {dim: 8, table: {type: mlp, width: 16}}
train: {epochs: 2, batch_rows: 16, threads: 1, log_every: 2}
evaluate: {baselines: false}
"""
RESUMABLE = ("--set", "train.checkpoint.every_steps=3")


def people(folder: Path, rows: str = ROWS, recipe: str = RECIPE) -> None:
    """Write both."""
    (folder / "people.csv").write_text(rows)
    (folder / "people.yaml").write_text(recipe)


def bundle_of(folder: Path) -> tuple[bytes, Any]:
    """Weights and figures of the bundle of `run`."""
    bundle = folder / "run" / "bundle"
    return (bundle / "weights.safetensors").read_bytes(), json.loads((bundle / "report.json").read_text())["metrics"]
