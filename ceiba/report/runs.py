"""What lies in a folder of runs: a line a run, and runs side by side. Reads what the runs wrote, and never a model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ceiba.base.errors import BundleError, InputError
from ceiba.base.files import is_held
from ceiba.base.spec import leaves
from ceiba.base.yaml import read_yaml
from ceiba.bundle import REPORT, ROWS
from ceiba.evaluate import read_rows
from ceiba.metrics import METRICS, paired_difference

SEARCH = "trials.json"
SIGNS = ("bundle", REPORT, SEARCH, "lock", "log.jsonl", "checkpoints", "study.db")
"""What tells the folder of a run."""
MOST_DEPTH = 3
SPLITS = ("test", "folds", "valid")
Entry = dict[str, Any]
Rows = tuple[str, str, str, str]
"""Split, output, figure, hash of truths."""


def find_runs(folder: Path) -> list[Path]:
    """The folders of runs in a folder, or the folder itself if it is one.

    Raises: InputError if there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} must be a folder of runs", "no such folder", "Check the name, or train a recipe")
    return sorted(_found(folder, MOST_DEPTH))


def _found(folder: Path, depth: int) -> Iterator[Path]:
    if any((folder / sign).exists() for sign in SIGNS):
        yield folder
    elif depth:
        for below in folder.iterdir():
            if below.is_dir() and not below.is_symlink() and not below.name.startswith("."):
                yield from _found(below, depth - 1)


def list_runs(folder: Path) -> list[Entry]:
    """A line a run, the oldest first: where it is, its state and, once it is done, its main figure and its cost."""
    return sorted((describe(path) for path in find_runs(folder)), key=lambda entry: entry["when"])


def describe(folder: Path) -> Entry:
    """The line of one run. A report that cannot be read makes it `damaged`."""
    path = next((one for one in (folder / "bundle" / REPORT, folder / REPORT) if one.is_file()), None)
    entry: Entry = {"run": str(folder), "when": _when(path or folder), "state": _state(folder, path is not None)}
    try:
        if path is not None:
            return entry | _of_report(_read(path))
        if (folder / SEARCH).is_file():
            return entry | _of_search(_read(folder / SEARCH))
    except (BundleError, KeyError, StopIteration, TypeError):
        entry["state"] = "damaged"
    return entry


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "seconds")


def _state(folder: Path, is_done: bool) -> str:
    """done; running: a process holds it; stopped: it can be resumed; failed."""
    if is_done or (folder / "best.yaml").exists():
        return "done" if not is_held(folder) else "running"
    if is_held(folder):
        return "running"
    steps = sorted(folder.glob("checkpoints/step-*")) or sorted(folder.glob("fold-*/checkpoints/step-*"))
    if steps:
        return f"stopped at step {int(steps[-1].name.removeprefix('step-'))}"
    return "stopped" if any(folder.glob("fold-*/bundle")) or (folder / "study.db").exists() else "failed"


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} must be JSON", type(error).__name__, "Use an undamaged copy") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path} must be a JSON object", type(value).__name__, "Use an undamaged copy")
    return value


def _of_report(report: Mapping[str, Any]) -> Entry:
    split = next(name for name in SPLITS if name in report["metrics"])
    output, told = next(iter(report["outputs"].items()))
    cost = report["cost"]
    source = recipe_of(report).get("data", {}).get("train")
    return {
        "data": ", ".join(Path(str(one)).name for one in (source if isinstance(source, list) else [source])),
        "measured": f"{split} {output} {told['main']}", "figure": report["metrics"][split][output].get(told["main"]),
        "seconds": cost.get("seconds"), "parameters": cost.get("parameters"), "best_epoch": cost.get("best_epoch"),
    }  # fmt: skip


def _of_search(search: Mapping[str, Any]) -> Entry:
    best = search["best"] or {}
    figure = {"value": best["value"]} if best else None
    return {
        "data": f"{len(search['trials'])} trials", "measured": search["metric"].replace("_", " "), "figure": figure,
        "seconds": search["seconds"], "best_epoch": best.get("best_epoch"),
    }  # fmt: skip


def recipe_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The complete recipe that a report tells."""
    value, _ = read_yaml(report.get("recipe") or "{}", "recipe")
    return dict(value or {})


def compare_runs(folders: Sequence[Path]) -> dict[str, Any]:
    """Runs side by side: the recipe's keys in which they differ, their figures and, on equal rows, the difference of
    each to the first, with a 95 % interval of the pairs.

    Raises: InputError for a folder that is not that of a finished run.
    """
    reports, rows = [], []
    for folder in folders:
        path = next((one for one in (folder / "bundle", folder) if (one / REPORT).is_file()), None)
        if path is None:
            raise InputError(f"{folder} must be a finished run", "no report", "Train it, or leave it out")
        reports.append(_read(path / REPORT))
        rows.append(read_rows(path / ROWS))
    recipes = [dict(leaves(recipe_of(report))) for report in reports]
    keys = list(dict.fromkeys(name for recipe in recipes for name in recipe))
    figures = [dict(_figures(report)) for report in reports]
    names = list(dict.fromkeys(name for one in figures for name in one))
    return {
        "runs": [str(folder) for folder in folders],
        "recipe": {name: told for name in keys if not _alike(told := [recipe.get(name) for recipe in recipes])},
        "metrics": {name: [one.get(name) for one in figures] for name in names},
        "paired": [
            {"run": str(folder), "minus": str(folders[0]), **one}
            for folder, own in zip(folders[1:], rows[1:], strict=True)
            for one in _paired(own, rows[0])
        ],
    }


def _paired(
    own: Mapping[tuple[str, str, str, str], Any], first: Mapping[tuple[str, str, str, str], Any]
) -> list[Entry]:
    found = []
    for name in (name for name in own if name in first):
        split, output, metric, _ = name
        if difference := paired_difference(own[name], first[name]):
            is_lower = metric not in METRICS or METRICS[metric].better == "lower"  # an error, as the squared one
            low, high = (difference["low"], difference["high"])
            better = high < 0 if is_lower else low > 0
            worse = low > 0 if is_lower else high < 0
            verdict = "better" if better else "worse" if worse else "no clear difference"
            found.append({"split": split, "output": output, "metric": metric, **difference, "verdict": verdict})
    return found


def _alike(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)


def _figures(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for split, outputs in report["metrics"].items():
        for output, metrics in outputs.items():
            for metric, figure in metrics.items():
                yield f"{split} {output} {metric}", figure
