"""Cross-validation: every row is answered once by a model that has not seen it."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ceiba.base.errors import InputError
from ceiba.base.files import hold, write_bytes, write_json, write_stream
from ceiba.base.memory import PeakMemory
from ceiba.base.progress import say
from ceiba.base.timing import Phases
from ceiba.bundle import open_bundle
from ceiba.model import open_backend
from ceiba.predict import Predictor
from ceiba.prepare import fold_splits
from ceiba.read import Frame
from ceiba.recipe import Recipe
from ceiba.report import render_html
from ceiba.run import Run, train_splits
from ceiba.train import run_folder

STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Two-sided 95 % quantiles of Student's t for 1 to 9 degrees of freedom; 1.96 beyond."""
NORMAL_95 = 1.96
SPLIT = "folds"


@dataclass(frozen=True)
class Study:
    """The runs of all folds and the figures over them."""

    folder: Path
    runs: list[Run]
    report: dict[str, Any]

    @property
    def page(self) -> Path:
        """The report, for a browser."""
        return self.folder / "report.html"

    def _repr_html_(self) -> str:
        return render_html(self.report)


def train_folds(recipe: Recipe, out: str | Path | None, resume: bool) -> Study:
    """A run a fold, in `fold-1`, `fold-2`, ...; `answers.parquet` holds each row's answer by the fold that left it out.

    Resuming skips the folds that are finished. Raises: as a run does.
    """
    folder = run_folder(recipe.title, out, resume)
    if (folder / "report.json").exists():
        raise InputError(f"{folder} must not hold a finished study", "a report", "Name another folder with --out")
    phases, runs, answers = Phases(), [], []
    with hold(folder), PeakMemory() as memory:
        for place, splits in enumerate(fold_splits(recipe.data, list(recipe.outputs)), 1):
            below = folder / f"fold-{place}"
            if resume and (below / "bundle").exists():
                bundle = open_bundle(below / "bundle")
                runs.append(Run(below, bundle, bundle.report or {}))
            else:
                say(f"Fold {place} of {recipe.data.split.folds}")
                started = resume and any((below / "checkpoints").glob("step-*"))
                runs.append(train_splits(recipe, splits, below, started, phases, memory))
            answers.append(
                _answered(runs[-1], splits.parts()["test"], splits.rows["test"], place, list(recipe.outputs))
            )
        report = over_folds([run.report for run in runs])
        report |= {"title": recipe.title, "recipe": recipe.to_yaml()}
        report["cost"] |= {"seconds": phases.total, "phases": phases.seconds, "peak_memory_bytes": memory.bytes}
        with write_stream(folder / "answers.parquet") as temporary:
            pq.write_table(pa.concat_tables(answers).sort_by("row"), temporary)
        write_bytes(folder / "report.html", render_html(report).encode())
        write_json(folder / "report.json", report)
    return Study(folder, runs, report)


def _answered(run: Run, test: Frame, rows: Any, fold: int, outputs: list[str]) -> pa.Table:
    """The test rows of one fold: their number, fold, truths and answers."""
    predictor = Predictor.from_bundle(run.bundle, open_backend(run.bundle))
    truths = test.select(outputs).to_table().replace_schema_metadata(None)
    truths = truths.rename_columns([f"{name}_truth" for name in outputs])
    answers = pa.Table.from_batches(list(predictor.stream(test))).replace_schema_metadata(None)
    table = pa.table({"row": pa.array(np.asarray(rows)), "fold": pa.array(np.full(len(rows), fold))})
    for source in (truths, answers):
        for name in source.column_names:
            table = table.append_column(name, source[name])
    return table


def over_folds(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each figure over the folds, with Student's 95 % interval of that mean."""
    tests = [report["metrics"]["test"] for report in reports]
    baselines = [report["baselines"].get("test", {}) for report in reports]
    merged: dict[str, Any] = {
        name: {} for name in ("confusion", "classes", "calibration", "curves", "slices", "compared")
    } | {
        "metrics": {SPLIT: {output: _means([test[output] for test in tests]) for output in tests[0]}},
        "baselines": {
            SPLIT: {
                output: {name: _means([one[output][name] for one in baselines]) for name in baselines[0][output]}
                for output in baselines[0]
            }
        },
        "outputs": reports[0]["outputs"],
        "baseline_models": reports[0].get("baseline_models", {}),
        "rows": {SPLIT: {"rows": sum(report["rows"]["test"]["rows"] for report in reports), "without_truth": {}}},
        "folds": [{"metrics": test, "baselines": baseline} for test, baseline in zip(tests, baselines, strict=True)],
        "notes": list(dict.fromkeys(note for report in reports for note in report["notes"])),
        "samples": reports[0]["samples"],
        "history": [],
        "cost": {"parameters": reports[0]["cost"]["parameters"], "rows": 0, "rows_per_second": 0.0},
    }
    merged["notes"].append(
        f"figures are means over {len(reports)} folds, with 95 % intervals of the mean (Student's t)"
    )
    return merged


def _means(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """One figure a metric that every fold has."""
    names = [name for name in folds[0] if all(name in fold for fold in folds)]
    return {name: _mean([fold[name]["value"] for fold in folds]) for name in names}


def _mean(values: list[float]) -> dict[str, float]:
    center, freedom = fmean(values), len(values) - 1
    quantile = STUDENT_95[freedom - 1] if freedom <= len(STUDENT_95) else NORMAL_95
    half = quantile * stdev(values) / len(values) ** 0.5
    return {"value": center, "low": center - half, "high": center + half}
