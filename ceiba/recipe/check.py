"""Reading a recipe: YAML or plain values → Recipe, every fault told with its line and the nearest right name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ceiba.base.errors import RecipeError, nearest
from ceiba.base.yaml import Marks, read_yaml
from ceiba.fields.tokenizers import FolderSpec
from ceiba.recipe.spec import PLACES, ColumnSpec, Misplaced, Recipe


def read_recipe(source: str | Path | Mapping[str, Any] | Recipe, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe from a YAML file or a mapping, with `path.to.key=value` overrides.

    Paths of data are taken from the recipe's folder. Raises: RecipeError with file, line, the value got and what to do.
    """
    if isinstance(source, Recipe):
        if not list(overrides):
            return source
        source = source.model_dump(mode="json", exclude_none=True)
    if isinstance(source, Mapping):
        return check_recipe(_overridden(dict(source), overrides), {}, "recipe")
    path = Path(source)
    try:
        value, marks = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise RecipeError(f"{path} must be a readable file", error.strerror, "Check the name") from error
    if not isinstance(value, dict):
        raise RecipeError(f"{path}:1 must be a mapping", type(value).__name__, "Start with data: and outputs:")
    recipe = check_recipe(_overridden(value, overrides), marks, str(path))
    return _rooted(recipe, path.parent).model_copy(update={"name": recipe.name or path.stem})


def _rooted(recipe: Recipe, folder: Path) -> Recipe:
    """Relative paths of data, taken from `data.root`, itself taken from the recipe's folder."""
    data = recipe.data
    root = folder / data.root if data.root is not None else folder
    moved = {name: _below(root, getattr(data, name)) for name in PLACES}
    columns = {
        side: {name: _with_folder(one, folder) for name, one in given.items()}
        for side, given in (("inputs", recipe.inputs), ("outputs", recipe.outputs))
        if given is not None
    }
    origin = recipe.origin
    if origin is not None and (folder / origin).exists():
        origin = str(folder / origin)
    teacher = recipe.teacher
    if teacher is not None and (folder / teacher.bundle).exists():
        teacher = teacher.model_copy(update={"bundle": str(folder / teacher.bundle)})
    adapt: Any = recipe.adapt
    if getattr(adapt, "adapter", None) is not None:
        adapt = adapt.model_copy(update={"adapter": str(folder / adapt.adapter)})
    moved_data = data.model_copy(update={**moved, "root": None})
    return recipe.model_copy(
        update={"data": moved_data, "origin": origin, "adapt": adapt, "teacher": teacher, **columns}
    )


def _with_folder(column: ColumnSpec, folder: Path) -> ColumnSpec:
    """A text whose tokenizer lies in a folder, with that folder's path taken from the recipe's."""
    tokenizer = getattr(column.field, "tokenizer", None)
    if not isinstance(tokenizer, FolderSpec):
        return column
    moved = tokenizer.model_copy(update={"folder": str(folder / tokenizer.folder)})
    return column.model_copy(update={"field": column.field.model_copy(update={"tokenizer": moved})})


def _below(root: Path, source: Any) -> Any:
    if isinstance(source, list | tuple):
        return [_below(root, one) for one in source]
    if isinstance(source, dict) and all(isinstance(one, str) for one in source.values()):
        return {name: str(root / one) for name, one in source.items()}
    return str(root / source) if isinstance(source, str) else source


def check_recipe(value: Mapping[str, Any], marks: Marks, name: str) -> Recipe:
    """Plain values → Recipe. Raises: RecipeError with line, value and what to do."""
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        raise _explained(error.errors()[0], value, marks, name) from None


def _overridden(value: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            raise RecipeError("--set takes path.to.key=value", repr(override), "Write e.g. --set train.epochs=3")
        value = _set(value, path.split("."), read_yaml(text, f"--set {path}")[0])
    return value


def _set(value: Mapping[str, Any], path: Sequence[str], new: Any) -> dict[str, Any]:
    """A copy with one key set; a bare word on the way is a `type`, and what is not there is made."""
    place, *below = path
    if not below:
        return {**value, place: new}
    inner = value.get(place) or {}
    if isinstance(inner, str):
        inner = {"type": inner}
    if not isinstance(inner, Mapping):
        raise RecipeError(f"'{place}' has no keys", repr(inner), f"Set {place} as a whole")
    return {**value, place: _set(inner, below, new)}


def with_values(recipe: Recipe, values: Mapping[str, Any], name: str) -> Recipe:
    """The recipe with some keys set, by `path.to.key`; another `type` takes the old one's options away.

    Raises: RecipeError, which begins with `name`, for a key or a value that the recipe cannot have.
    """
    plain = recipe.to_plain()
    for key in sorted(values, key=lambda key: key.removesuffix(".type").count(".")):
        path = key.split(".")
        if path[-1] == "type" and values[key] != _at(plain, path):
            plain = _set(plain, path[:-1], {})
        plain = _set(plain, path, values[key])
    return check_recipe(plain, {}, name).model_copy(update={"data": recipe.data})


def _at(value: Any, path: Sequence[str]) -> Any:
    for place in path:
        value = value.get(place) if isinstance(value, Mapping) else None
    return value


def _explained(detail: ErrorDetails, value: Any, marks: Marks, name: str) -> RecipeError:
    """One pydantic error → one house error; union tags, which nobody wrote, are dropped from its place."""
    place: tuple[str | int, ...] = ()
    inner: Any = value
    for step in detail["loc"]:
        known = range(len(inner)) if isinstance(inner, list) else inner if isinstance(inner, Mapping) else ()
        if step in known:
            inner, place = inner[step], (*place, step)
    context = detail.get("ctx", {})
    nested = context.get("error")
    if isinstance(nested, Misplaced):
        below = nested.error.errors()[0]
        return _explained({**below, "loc": (*place, nested.key, *below["loc"])}, value, marks, name)
    if isinstance(nested, ValidationError):
        below = nested.errors()[0]
        return _explained({**below, "loc": (*place, *below["loc"])}, value, marks, name)
    kind, message = detail["type"], detail["msg"]
    line = marks.get((*place, str(context["key"])) if kind == "unknown_key" else place, marks.get(place))
    where = f"{name}:{line}" if line else name
    shown = ".".join(map(str, place)) or "the recipe"
    if kind == "missing":
        return RecipeError(f"{where} {shown} needs the key '{detail['loc'][-1]}'", None, "Add it")
    if kind == "unknown_key":
        return RecipeError(f"{where} {shown} has no key '{context['key']}'", None, str(context["do"]))
    if kind == "union_tag_invalid":
        expected = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
        got = context["tag"]
        return RecipeError(f"{where} {shown} has no type '{got}'", None, nearest(str(got), expected))
    if kind == "union_tag_not_found":
        return RecipeError(f"{where} {shown} needs a type", repr(inner), "Add type")
    if "do" in context:
        return RecipeError(
            f"{where} {shown if place else ''} {message}".replace("  ", " "), context.get("got"), str(context["do"])
        )
    rule = message.removeprefix("Value error, ").split(", unable")[0].replace("Input should", "must")
    return RecipeError(f"{where} {shown} {rule}", repr(inner), "See: ceiba schema")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors."""
    return Recipe.model_json_schema()
