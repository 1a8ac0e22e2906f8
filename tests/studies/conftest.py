"""A small table of people, and recipes that search over it."""

from pathlib import Path

import numpy as np
import pytest

RECIPE = """
name: people
data: {train: people.csv, valid: valid.csv, test: test.csv}
outputs: {rich: binary}
model: {dim: 16}
train: {epochs: 3, batch_rows: 32, threads: 1}
evaluate: {baselines: false}
tune:
  trials: 5
  space:
    train.optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
    model.table.width: {low: 8, high: 32}
    model.table.numbers.type: [scalar, piecewise]
    model.table.numbers.width: [4, 8]
"""


def people(rows: int, seed: int) -> str:
    """Rows of which one column follows from two others."""
    random = np.random.default_rng(seed)
    lines = ["age,city,score,rich"]
    for _ in range(rows):
        age, city = random.integers(18, 80), random.choice(["Rome", "Oslo", "Lima"])
        rich = "yes" if age + 20 * (city == "Oslo") + random.normal(0, 5) > 55 else "no"
        lines.append(f"{age},{city},{random.normal():.3f},{rich}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three files of rows and `recipe.yaml`."""
    monkeypatch.chdir(tmp_path)
    for place, (name, rows) in enumerate({"people": 200, "valid": 80, "test": 80}.items()):
        (tmp_path / f"{name}.csv").write_text(people(rows, place), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path
