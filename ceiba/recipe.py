"""The recipe: the contents page of Ceiba. It composes the specs of all rooms and adds nothing of its own but their order."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    SerializerFunctionWrapHandler, TypeAdapter, ValidationError, model_serializer, model_validator,
)  # fmt: skip
from pydantic_core import ErrorDetails, PydanticCustomError

from ceiba.base.errors import RecipeError, listed, nearest
from ceiba.base.spec import Spec, one_of
from ceiba.base.yaml import Marks, read_yaml, write_yaml
from ceiba.encoders import ENCODERS
from ceiba.evaluate import EvaluateSpec
from ceiba.fields import FIELDS, TABLE_KINDS, FieldSpec
from ceiba.heads import HEADS
from ceiba.prepare import DataSpec
from ceiba.train import TrainSpec
from ceiba.trunks import TRUNKS

AUTO = "auto"
HEAD_OF_KIND = {"number": "regression", "binary": "binary", "category": "classes", "set": "labels"}
FIELD_OPTIONS: TypeAdapter[FieldSpec] = TypeAdapter(one_of(FIELDS))
ENCODER_OPTIONS: dict[str, TypeAdapter[Spec]] = {
    group: TypeAdapter(one_of(catalog)) for group, catalog in ENCODERS.items()
}
HEAD_OPTIONS: TypeAdapter[Spec] = TypeAdapter(one_of(HEADS))


def _split(value: object, own: set[str]) -> tuple[Any, dict[str, Any]]:
    """A column's mapping → the options of its field, and the keys that are not the field's."""
    given = {"type": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping):
        raise PydanticCustomError("not_a_column", "must be a kind or a mapping with a type")
    options = {name: option for name, option in given.items() if name not in own}
    if options.get("type", AUTO) == AUTO:
        if extra := sorted(set(options) - {"type"}):
            raise PydanticCustomError(
                "needs_type",
                "needs a type before its options",
                {"got": listed(extra), "do": f"Add type: one of {listed(FIELDS)}"},
            )
        return None, {name: given[name] for name in own & set(given)}
    return options, {name: given[name] for name in own & set(given)}


class ColumnSpec(Spec):
    """One column: the kind and options of its field, written flat, beside what the network does with it."""

    field: Any = None
    """Kind and options; nothing: inferred from the data."""

    @model_validator(mode="before")
    @classmethod
    def known_keys(cls, value: object) -> object:
        """Read the flat form `{type, field options, own keys}`."""
        if isinstance(value, Mapping) and "field" in value:
            return value
        options, own = _split(value, set(cls.model_fields) - {"field"})
        return {"field": None if options is None else FIELD_OPTIONS.validate_python(options), **own}

    @model_serializer(mode="wrap")
    def flat(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the flat form."""
        own = {
            name: value.model_dump(mode="json") if isinstance(value, Spec) else value
            for name, value in ((name, getattr(self, name)) for name in type(self).model_fields)
            if name != "field" and value is not None
        }
        return {**({"type": AUTO} if self.field is None else self.field.model_dump(mode="json")), **own}

    @property
    def kind(self) -> str:
        """The kind of the field, or `auto` while it is not known."""
        return AUTO if self.field is None else str(self.field.type)


def group_of(kind: str) -> str:
    """The catalog of encoders that reads a kind of field."""
    return "table" if kind in TABLE_KINDS else kind


class InputSpec(ColumnSpec):
    """One input column."""

    encoder: Any = None
    """What turns the field into tokens (text and image; all table columns share `model.table`)."""
    share: str | None = None
    """Another input of the same kind whose field and encoder this one uses."""

    @model_validator(mode="after")
    def encoder_of_kind(self) -> "InputSpec":
        """Read the encoder by the catalog of the field's kind."""
        if self.encoder is None:
            return self
        group = group_of(self.kind)
        if group == "table" or group not in ENCODER_OPTIONS:
            raise PydanticCustomError(
                "encoder",
                "cannot have an encoder of its own",
                {"got": self.kind, "do": "Set model.table: all table columns share it"},
            )
        if not isinstance(self.encoder, Spec):
            object.__setattr__(self, "encoder", ENCODER_OPTIONS[group].validate_python(self.encoder))
        return self


class OutputSpec(ColumnSpec):
    """One output column: a target to learn."""

    head: Any = None
    """What answers it; nothing: the head that fits its kind."""
    weight: float = 1.0
    """Weight of its loss beside those of other outputs."""

    @model_validator(mode="after")
    def head_of_kind(self) -> "OutputSpec":
        """Read the head by its catalog, or choose the one that fits."""
        head = self.head if self.head is not None else HEAD_OF_KIND.get(self.kind)
        if head is not None and not isinstance(head, Spec):
            object.__setattr__(self, "head", HEAD_OPTIONS.validate_python(head))
        return self


class NetworkSpec(Spec):
    """The network: encoders by kind of input, one trunk."""

    dim: int = 128
    """Width of every token."""
    table: one_of(ENCODERS["table"], "mlp") = None  # type: ignore[valid-type]
    """Encoder of all table columns together."""
    text: one_of(ENCODERS["text"], "bag") = None  # type: ignore[valid-type]
    """Encoder of text inputs that name none."""
    image: one_of(ENCODERS["image"], "cnn") = None  # type: ignore[valid-type]
    """Encoder of image inputs that name none."""
    trunk: one_of(TRUNKS, "none") = None  # type: ignore[valid-type]
    """What mixes the tokens of all groups."""


class Recipe(Spec):
    """From raw data to a measured model. Everything has a default except the data and what to predict."""

    data: DataSpec
    """Where the rows are and how they are read, split and cleaned."""
    inputs: dict[str, InputSpec] | None = None
    """Columns to learn from; nothing: every other column, its kind inferred."""
    outputs: dict[str, OutputSpec]
    """Columns to predict; several of them are learnt together."""
    model: NetworkSpec = NetworkSpec()
    """The network."""
    train: TrainSpec = TrainSpec()
    """How the weights are found."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """How the result is measured."""

    @model_validator(mode="after")
    def targets_are_not_inputs(self) -> "Recipe":
        """A target among the inputs would be answered by copying it."""
        if both := sorted(set(self.inputs or ()) & set(self.outputs)):
            raise PydanticCustomError(
                "target_in_inputs",
                "outputs must not be inputs too",
                {"got": listed(both), "do": "Remove them from inputs"},
            )
        if not self.outputs:
            raise PydanticCustomError(
                "no_output", "outputs must name a column", {"got": "none", "do": "Name what to predict"}
            )
        return self

    def to_yaml(self) -> str:
        """The recipe written out in full."""
        return write_yaml(self.model_dump(mode="json", exclude_none=True))


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
    return recipe.model_copy(update={"data": recipe.data.below(path.parent)})


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
        *parents, last = path.split(".")
        inner = value = dict(value)
        for place in parents:
            below = inner.get(place)
            inner[place] = {"type": below} if isinstance(below, str) else dict(below or {})
            inner = inner[place]
        inner[last] = read_yaml(text, f"--set {path}")[0]
    return value


def _explained(detail: ErrorDetails, value: Any, marks: Marks, name: str) -> RecipeError:
    """One pydantic error → one house error; union tags, which nobody wrote, are dropped from its place."""
    place: tuple[str | int, ...] = ()
    inner = value
    for step in detail["loc"]:
        if isinstance(inner, Mapping) and step in inner:
            inner, place = inner[step], (*place, step)
        elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
            inner, place = inner[step], (*place, step)
    context = detail.get("ctx", {})
    if isinstance(nested := context.get("error"), ValidationError):
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
        return RecipeError(f"{where} {shown} {message}", context.get("got"), str(context["do"]))
    rule = message[0].lower() + message[1:].replace("Input should", "must").replace("input should", "must")
    rule = rule.removeprefix("input should").strip() if rule.startswith("input should") else rule
    rule = f"must {rule}" if rule.startswith("be ") else rule
    return RecipeError(f"{where} {shown} {rule}", repr(inner), "See: ceiba schema")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors."""
    return Recipe.model_json_schema()
