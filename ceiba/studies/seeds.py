"""Seeds: one recipe trained several times on the same rows, so that chance in training shows."""

from pathlib import Path

from ceiba.base.errors import InputError
from ceiba.base.files import hold
from ceiba.base.memory import PeakMemory
from ceiba.base.progress import say
from ceiba.base.timing import Phases
from ceiba.bundle import open_bundle
from ceiba.prepare import load_splits
from ceiba.recipe import Recipe
from ceiba.run import Run, train_splits
from ceiba.studies.over import Study, over_runs, write_report
from ceiba.train import run_folder


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe of one of the runs."""
    return recipe.model_copy(update={"seeds": 1, "train": recipe.train.model_copy(update={"seed": seed})})


def train_seeds(recipe: Recipe, out: str | Path | None, resume: bool) -> Study:
    """A run a seed, in `seed-0`, `seed-1`, ..., all on the same rows.

    Resuming skips the runs that are finished. Raises: as a run does.
    """
    folder = run_folder(recipe.title, out, resume)
    if (folder / "report.json").exists():
        raise InputError(f"{folder} must not hold a finished study", "a report", "Name another folder with --out")
    phases, runs, first = Phases(), [], recipe.train.seed
    with hold(folder), PeakMemory() as memory:
        with phases("read"):
            splits = load_splits(recipe.data, recipe.targets)
        for seed in range(first, first + recipe.seeds):
            below = folder / f"seed-{seed}"
            if resume and (below / "bundle").exists():
                bundle = open_bundle(below / "bundle")
                runs.append(Run(below, bundle, bundle.report or {}))
                continue
            say(f"Seed {seed} ({seed - first + 1} of {recipe.seeds})")
            started = resume and any((below / "checkpoints").glob("step-*"))
            runs.append(train_splits(with_seed(recipe, seed), splits, below, started, phases, memory))
        split = "test" if "test" in runs[0].report["metrics"] else "valid"
        merged = over_runs([run.report for run in runs], split, split, "seeds")
        merged["rows"] = {split: runs[0].report["rows"][split]}
        report = write_report(folder, recipe, merged, phases, memory)
    return Study(folder, runs, report)
