"""One door to a run and to many."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ceiba.base.errors import RecipeError
from ceiba.base.ranks import num_ranks
from ceiba.recipe import Recipe, read_recipe
from ceiba.run import Run
from ceiba.run import train as train_once
from ceiba.studies.folds import train_folds
from ceiba.studies.over import Study
from ceiba.studies.seeds import train_seeds


def train(
    source: str | Path | Mapping[str, Any] | Recipe,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
) -> Run | Study:
    """A recipe → a measured bundle; with `data.split.folds` or `seeds`, one a fold or seed and figures over all.

    Raises: CeibaError and its kinds; nothing half-written is left under a final name.
    """
    recipe = read_recipe(source, overrides)
    folds = recipe.data.split.folds
    if folds is None and recipe.seeds == 1:
        return train_once(recipe, out, resume)
    if num_ranks() > 1:
        key = "seeds" if folds is None else "data.split.folds"
        raise RecipeError(f"{key} needs one process", f"{num_ranks()}", "Leave --nproc out")
    if folds is not None and recipe.seeds > 1:
        raise RecipeError("seeds must not go with data.split.folds", f"{recipe.seeds} and {folds}", "Leave one out")
    return train_seeds(recipe, out, resume) if folds is None else train_folds(recipe, out, resume)
