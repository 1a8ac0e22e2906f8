"""A dry run: everything before the first step, one step, and what several processes would do, without them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ceiba.base.errors import InputError, RecipeError
from ceiba.prepare import load_splits, profile
from ceiba.recipe import Recipe, answers_of, complete, read_recipe
from ceiba.run import batches_of, encode, network
from ceiba.train.rehearsal import Rehearsal
from ceiba.train.rehearsal import rehearse as rehearse_step


def rehearse(source: str | Path | Mapping[str, Any] | Recipe, ranks: int, overrides: Iterable[str] = ()) -> Rehearsal:
    """Read, prepare, build and take one step, as each of `ranks` processes would; nothing is written but the cache.

    Raises: CeibaError as a training would.
    """
    if ranks < 1:
        raise InputError("--dry-run must be one process or more", ranks, "Use the number that will train")
    recipe = read_recipe(source, overrides)
    if ranks > 1 and (recipe.seeds > 1 or recipe.data.split.folds is not None):
        raise RecipeError("seeds and data.split.folds need one process", ranks, "Leave them out")
    splits = load_splits(recipe.data, recipe.targets)
    held = {name: frame for name, frame in splits.parts().items() if name != "train"}
    recipe = complete(recipe, splits.train, profile(splits.train, list(recipe.outputs), held).kinds)
    fields, arrays = encode(recipe, splits)
    model, answers = network(recipe, fields), answers_of(recipe, fields)
    train, valid = batches_of(recipe, fields, arrays)
    return rehearse_step(model, train, valid, answers, recipe.train, ranks)
