"""One door to a run and to many."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ceiba.base.errors import RecipeError
from ceiba.base.ranks import num_ranks
from ceiba.recipe import Recipe, read_recipe
from ceiba.run import Run
from ceiba.run import train as train_once
from ceiba.studies.folds import Study, train_folds


def train(
    source: str | Path | Mapping[str, Any] | Recipe,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
) -> Run | Study:
    """A recipe → a measured bundle; with `data.split.folds`, a measured bundle a fold and figures over all of them.

    Raises: CeibaError and its kinds; nothing half-written is left under a final name.
    """
    recipe = read_recipe(source, overrides)
    if recipe.data.split.folds is None:
        return train_once(recipe, out, resume)
    if num_ranks() > 1:
        raise RecipeError("data.split.folds needs one process", f"{num_ranks()}", "Leave --nproc out")
    return train_folds(recipe, out, resume)
