"""The space of a search: its keys held against the recipe, and what is searched when none is told."""

from collections.abc import Iterator, Mapping
from typing import Any

from ceiba.base.errors import RecipeError, nearest
from ceiba.recipe.check import with_values
from ceiba.recipe.spec import Recipe
from ceiba.recipe.tune import ChoiceSpec, FloatSpec, Value

Space = Mapping[str, Any]
"""Path of a key → FloatSpec, IntSpec or ChoiceSpec."""

SEARCHED = ("inputs", "outputs", "model", "train")
COLUMNS = ("inputs", "outputs")
FACTOR = 10
MOST_DROPOUT = 0.5
DECAYS = (1e-5, 1e-1)
LEAST_WIDTH = 16


def check_space(recipe: Recipe, space: Space) -> None:
    """Hold every key and the ends of its values against a complete recipe.

    Raises: RecipeError naming the key, the value, and the nearest right name.
    """
    for key, knob in space.items():
        head, *rest = key.split(".")
        if head not in SEARCHED:
            do = f"Use keys below {', '.join(SEARCHED)}" if head in Recipe.model_fields else nearest(head, SEARCHED)
            raise RecipeError(f"tune.space must name keys that a trial may change, not '{key}'", None, do)
        if head in COLUMNS and (not rest or rest[0] not in getattr(recipe, head)):
            got = rest[0] if rest else ""
            raise RecipeError(f"tune.space: {head} has no column '{got}'", None, nearest(got, getattr(recipe, head)))
        for value in knob.ends:
            _check_value(recipe, space, key, value)


def _check_value(recipe: Recipe, space: Space, key: str, value: Value) -> None:
    """A value must fit the recipe as it is, or with a type that the space may choose."""
    others = [{}, *({other: one} for other in _types(space) if other != key for one in space[other].ends)]
    errors = []
    for chosen in others:
        try:
            with_values(recipe, {**chosen, key: value}, "tune.space:")
            return
        except RecipeError as error:
            errors.append(error)
    raise errors[0]


def _types(space: Space) -> list[str]:
    """The keys on whose value it depends which other keys there are."""
    return [key for key in space if key.endswith(".type") or any(other.startswith(key + ".") for other in space)]


def in_order(space: Space) -> list[str]:
    """The keys, those first that decide whether others apply."""
    return sorted(space, key=lambda key: key not in _types(space))


def applies(recipe: Recipe, chosen: Mapping[str, Value], key: str, knob: Any) -> bool:
    """Whether the recipe has a key once other keys are chosen: an encoder's options go with its type."""
    if not any(key.startswith(other.removesuffix(".type") + ".") for other in chosen):
        return True
    try:
        with_values(recipe, {**chosen, key: knob.ends[0]}, "tune.space:")
    except RecipeError:
        return False
    return True


def default_space(recipe: Recipe) -> dict[str, Any]:
    """Learning rate and decay around the optimizer's own, the batch, every dropout of the network, and its width."""
    optimizer, rows, dim = recipe.train.optimizer, recipe.train.batch_rows, recipe.model.dim
    rate = type(optimizer)().lr
    space: dict[str, Any] = {"train.optimizer.lr": FloatSpec(low=rate / FACTOR, high=rate * FACTOR, log=True)}
    if hasattr(optimizer, "decay"):
        space["train.optimizer.decay"] = FloatSpec(low=DECAYS[0], high=DECAYS[1], log=True)
    space["train.batch_rows"] = ChoiceSpec(choices=tuple(sorted({max(rows // 2, 1), rows, rows * 2})))
    plain = recipe.to_plain()
    encoders = {name: {"encoder": one.get("encoder", {})} for name, one in plain.get("inputs", {}).items()}
    for key in _dropouts({"model": plain["model"], "inputs": encoders}):
        space[key] = FloatSpec(low=0.0, high=MOST_DROPOUT)
    if dim >= 2 * LEAST_WIDTH:
        space["model.dim"] = ChoiceSpec(choices=(dim // 2, dim, dim * 2))
    return space


def _dropouts(value: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, below in value.items():
        if isinstance(below, Mapping):
            yield from _dropouts(below, f"{path}{name}.")
        elif name == "dropout":
            yield path + name
