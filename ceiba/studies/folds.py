"""Cross-validation: every row is answered once by a model that has not seen it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ceiba.base.errors import InputError
from ceiba.base.files import hold, write_stream
from ceiba.base.memory import PeakMemory
from ceiba.base.progress import say
from ceiba.base.timing import Phases
from ceiba.bundle import open_bundle
from ceiba.model import open_backend
from ceiba.predict import Predictor
from ceiba.prepare import fold_splits
from ceiba.read import Frame
from ceiba.recipe import Recipe
from ceiba.run import Run, train_splits
from ceiba.studies.over import Study, over_runs, write_report
from ceiba.train import run_folder

SPLIT = "folds"


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
                _answered(
                    runs[-1], splits.parts()["test"], splits.rows["test"].positions(), place, list(recipe.outputs)
                )
            )
        merged = over_runs([run.report for run in runs], "test", SPLIT, "folds")
        counts = [run.report["rows"]["test"]["rows"] for run in runs]
        merged["rows"] = {SPLIT: {"rows": sum(counts), "without_truth": {}}}
        with write_stream(folder / "answers.parquet") as temporary:
            pq.write_table(pa.concat_tables(answers).sort_by("row"), temporary)
        report = write_report(folder, recipe, merged, phases, memory)
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
