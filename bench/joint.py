"""Does a joint model beat each of its parts? Five folds each; answers compared row by row.

python -m bench.joint petfinder houses multitask
"""

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.work import ROOT, lite0, print_table, train
from ceiba.base.yaml import read_yaml, write_yaml
from ceiba.fields import TABLE_KINDS
from ceiba.metrics import paired_difference
from ceiba.recipe import read_recipe

RESAMPLED = 1000


def errors(table: Any, output: str) -> NDArray[np.float64]:
    """What each row adds to the error: a wrong class, or the squared error of the logarithm of a price."""
    truth, answer = table[f"{output}_truth"], table[output]
    if output == "price":
        truth, answer = np.log(truth.to_numpy().astype(float)), np.log(answer.to_numpy())
        return np.asarray((truth - answer) ** 2)
    return np.array([str(a) != str(b) for a, b in zip(truth.to_pylist(), answer.to_pylist(), strict=True)], dtype=float)


def without(recipe: str, names: Collection[str], folder: Path, side: str = "inputs") -> Path:
    """The recipe with some of its inputs (or outputs) left out, and what it begins with where nothing reads it."""
    value = read_yaml((ROOT / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8"), recipe)[0]
    value[side] = {name: one for name, one in value[side].items() if name not in names}
    if "from" in value and not begins(value):
        value = {name: one for name, one in value.items() if name not in ("from", "adapt", "model")}
    path = folder / f"without {'-'.join(names)[:40]}.yaml"
    path.write_text(write_yaml(value), encoding="utf-8")
    return path


def begins(recipe: dict[str, Any]) -> bool:
    """Whether an input of it is read by a network that was trained before."""
    return "from" in recipe and any("transformers" in str(one) for one in recipe["inputs"].values())


def inputs_of(recipe: str, *kinds: str) -> list[str]:
    """The inputs of some kinds."""
    found = read_recipe(ROOT / "recipes" / f"{recipe}.yaml").inputs or {}
    return [name for name, one in found.items() if one.kind in kinds]


def folds(recipe: str, output: str, part: str) -> None:
    """Train the joint recipe and each part alone on the same folds; print paired differences over all rows."""
    rows = []
    parts = {"joint": (), "table alone": inputs_of(recipe, part), f"{part} alone": inputs_of(recipe, *TABLE_KINDS)}
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder, found = Path(name_of_folder), {}
        for name, left_out in parts.items():
            path = without(recipe, left_out, folder)
            told = [f"from={lite0(folder)}"] if begins(read_yaml(path.read_text(encoding="utf-8"), recipe)[0]) else []
            seconds = train(path, *told, out=folder / name)["wall_seconds"]
            found[name] = errors(pq.read_table(folder / name / "answers.parquet"), output)
            print(recipe, name, found[name].mean(), f"{seconds:.0f} s", file=sys.stderr, flush=True)
        for name in list(parts)[1:]:
            rows.append([recipe, name, *compared(found[name], found["joint"])])
    print_table(["recipe", "part", "its error", "joint error", "part - joint [95 %]", "joint better"], rows)


def compared(part: NDArray[np.float64], joint: NDArray[np.float64]) -> list[str]:
    """The cells of one comparison."""
    difference = paired_difference(part, joint, resamples=RESAMPLED)
    assert difference is not None
    low, high, value = difference["low"], difference["high"], difference["value"]
    verdict = "yes" if low > 0 else "within chance" if high > 0 else "NO"
    return [f"{part.mean():.4f}", f"{joint.mean():.4f}", f"{value:+.4f} [{low:+.4f}, {high:+.4f}]", verdict]


def multitask() -> None:
    """Adult with two outputs against each output alone, on the test rows, by the same bootstrap as the report."""
    both = train("adult_multitask")["metrics"]["test"]
    rows = []
    with tempfile.TemporaryDirectory() as name_of_folder:
        for output, other, metric in (("income", "hours_per_week", "accuracy"), ("hours_per_week", "income", "rmse")):
            path = without("adult_multitask", [other], Path(name_of_folder), "outputs")
            ignored = f"data.clean=[{{strip_suffix: {{income: '.'}}}}, {{drop: [{other}]}}]"
            alone = train(path, ignored)["metrics"]["test"][output][metric]
            together = both[output][metric]
            worse = together["value"] < alone["low"] if metric == "accuracy" else together["value"] > alone["high"]
            cells = [f"{one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]" for one in (alone, together)]
            rows.append([f"{output} {metric}", *cells, "NO" if worse else "yes"])
    print_table(["figure", "alone", "two outputs", "no worse than its interval"], rows)


STUDIES = {
    "petfinder": lambda: folds("petfinder", "AdoptionSpeed", "text"),
    "houses": lambda: folds("houses", "price", "image"),
    "multitask": multitask,
}

if __name__ == "__main__":
    for study in sys.argv[1:] or STUDIES:
        STUDIES[study]()
