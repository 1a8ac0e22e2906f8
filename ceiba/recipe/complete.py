"""Completing a recipe: what was left out is inferred from the data and written out in full."""

from collections.abc import Collection, Mapping
from typing import Any

from ceiba.answers import (
    Answer,
    BinaryAnswer,
    ClassesAnswer,
    LabelsAnswer,
    NumberAnswer,
    PreferenceAnswer,
    SequenceAnswer,
    SpanAnswer,
    TagsAnswer,
    TextAnswer,
)
from ceiba.base.errors import RecipeError, listed, nearest
from ceiba.base.spec import Spec
from ceiba.encoders import ENCODERS
from ceiba.fields import FIELDS, Fields
from ceiba.heads import OutputLayout
from ceiba.model import ModelSpec
from ceiba.read import Frame
from ceiba.recipe.language import complete_language
from ceiba.recipe.origin import origin_of, with_origin, with_tokenizer
from ceiba.recipe.sequence import with_written
from ceiba.recipe.spec import AUTO, HEAD_OF_KIND, InputSpec, OutputSpec, Recipe, group_of
from ceiba.trunks import TRUNKS

DEFAULT_ENCODERS = {"image": "cnn", "words": "lstm"}
HEAD_ANSWERS = {
    "regression": "number", "binary": "binary", "classes": "classes", "labels": "labels",
    "next_token": "text", "masked": "text", "denoise": "text", "tags": "tags", "span": "span", "sequence": "sequence",
    "sequence_gru": "sequence",
    "preference": "preference",
}  # fmt: skip
NGRAMS = "ngrams"
BAG = "bag"


def complete(recipe: Recipe, frame: Frame, kinds: Mapping[str, str]) -> Recipe:
    """The recipe with every kind, encoder and head written out; `kinds` are those that the data suggest, by column.

    Raises: RecipeError for a column that the data do not have.
    """
    targets = list(recipe.outputs)
    _known_columns(recipe, frame)
    origin = origin_of(recipe)
    if origin is not None:
        recipe = with_origin(recipe, origin)
    if recipe.language is not None:
        return complete_language(recipe, recipe.language)
    passed = {*targets, *recipe.data.ids, recipe.data.weight, recipe.data.split.column}
    inputs: Mapping[str, InputSpec] = recipe.inputs if recipe.inputs is not None else {
        name: InputSpec.model_validate(kind) for name, kind in kinds.items() if name not in passed and kind != "id"
    }  # fmt: skip
    if recipe.inputs is None and any(one.kind == "tags" for one in recipe.outputs.values()):
        inputs = {name: InputSpec.model_validate("words") for name in list(inputs)[:1] if kinds[name] == "set"}
    if not inputs:
        raise RecipeError("inputs must name a column to learn from", "none", "Name one under inputs")
    inputs = {name: _known(name, one, kinds[one.column or name]) for name, one in inputs.items()}
    if origin is not None:
        inputs = {name: with_tokenizer(name, one, origin) for name, one in inputs.items()}
    table = _table(recipe, {one.kind for one in inputs.values()})
    outputs = {
        name: _output(one, kinds[name] if one.kind == AUTO else one.kind) for name, one in recipe.outputs.items()
    }
    if any(one.kind == "span" for one in outputs.values()):
        inputs = _quoted(inputs)
    inputs, outputs = with_written(inputs, outputs)
    filled = {name: _input(one, recipe, table) for name, one in inputs.items()}
    return recipe.model_copy(update={"inputs": filled, "outputs": outputs, "model": _network(recipe, filled, table)})


def _known_columns(recipe: Recipe, frame: Frame) -> None:
    names = frame.schema.names
    read = [one.column or name for name, one in (recipe.inputs or {}).items()]
    wanted = [*read, *recipe.outputs, *recipe.data.ids, *filter(None, [recipe.data.weight])]
    for name in wanted:
        if name not in names:
            raise RecipeError(
                f"{frame.origin} must have the column '{name}'", f"columns {listed(names)}", nearest(name, names)
            )


def _known(name: str, given: InputSpec, kind: str) -> InputSpec:
    if given.kind != AUTO:
        return given
    if kind not in FIELDS:
        raise RecipeError(
            f"inputs.{name} holds nothing that is learnt from", f"kind '{kind}'", "Leave it out, or name its type"
        )
    return InputSpec.model_validate({"type": kind, **_own(given)})


def _input(one: InputSpec, recipe: Recipe, table: Spec) -> InputSpec:
    """One input with its encoder; a bag of n-grams and its tokenizer ask for each other."""
    group = group_of(one.kind)
    if group == "table" and one.share is not None:
        raise RecipeError("inputs: share is for text and images", one.kind, "Table columns share model.table anyway")
    if group not in ENCODERS:
        raise RecipeError("An input must be of a kind that is learnt from", one.kind, "Make it an output, or words")
    if group == "table":
        return one.model_copy(update={"field": _with_bins(one.field, table)})
    encoder = one.encoder or getattr(recipe.model, group)
    if group == "text":
        chosen = "tokenizer" in one.field.model_fields_set
        if encoder is None:
            default = BAG if not chosen or one.field.tokenizer.type == NGRAMS else "lstm"
            encoder = ENCODERS[group][default]()
        if not chosen and encoder.type == BAG:
            one = one.model_copy(update={"field": type(one.field)(**dict(one.field) | {"tokenizer": NGRAMS})})
    return one.model_copy(update={"encoder": encoder or ENCODERS[group][DEFAULT_ENCODERS[group]]()})


def _quoted(inputs: Mapping[str, InputSpec]) -> dict[str, InputSpec]:
    """The one text that spans are pieces of, with the place of each token.

    Raises: RecipeError for several inputs, or none that is cut into tokens.
    """
    name, one = next(iter(inputs.items()))
    if len(inputs) > 1 or one.kind != "text" or one.field.tokenizer.type == NGRAMS:
        do = "Name one text; clean: [{pair: {NAME: [question, passage]}}] makes one of two"
        raise RecipeError("A span is a piece of one text that is cut into tokens", listed(inputs), do)
    told = {**one.field.model_dump(exclude_unset=True), "type": "text", "places": True}
    told.setdefault("tokenizer", {"type": "word"})
    return {name: one.model_copy(update={"field": FIELDS["text"].model_validate(told)})}


def _own(given: InputSpec) -> dict[str, Any]:
    own = {"column": given.column, "encoder": given.encoder, "share": given.share}
    return {name: value for name, value in own.items() if value is not None}


def _with_bins(field: Any, table: Spec) -> Any:
    """Bins cost a fit, and only piecewise-linear embeddings read them: elsewhere a number has none unless told."""
    numbers = getattr(table, "numbers", None)
    if field.type == "number" and "bins" not in field.model_fields_set and getattr(numbers, "type", "") != "piecewise":
        return field.model_copy(update={"bins": None})
    return field


def _table(recipe: Recipe, kinds: Collection[str]) -> Spec:
    """The table encoder: as told, or a perceptron, on piecewise-linear numbers where there are numbers."""
    if recipe.model.table is not None:
        return recipe.model.table  # type: ignore[no-any-return]
    return ENCODERS["table"]["mlp"].model_validate({"numbers": "piecewise" if "number" in kinds else "scalar"})


def _output(given: OutputSpec, kind: str) -> OutputSpec:
    if kind not in HEAD_OF_KIND:
        raise RecipeError(f"An output cannot be of kind '{kind}'", kind, f"Use one of: {listed(HEAD_OF_KIND)}")
    if given.kind != AUTO:
        return given
    own = {"head": given.head, "weight": given.weight, "threshold": given.threshold, "share": given.share}
    return OutputSpec.model_validate({"type": kind, **own})


def _network(recipe: Recipe, inputs: Mapping[str, InputSpec], table: Spec) -> Any:
    """The network's own defaults, only for the groups that the inputs have."""
    has_table = any(group_of(one.kind) == "table" for one in inputs.values())
    update: dict[str, Spec | None] = {"text": None, "words": None, "image": None}
    update["table"] = table if has_table else None
    update["trunk"] = recipe.model.trunk or TRUNKS["none"]()
    return recipe.model.model_copy(update=update)


def model_spec(recipe: Recipe) -> ModelSpec:
    """The network of a complete recipe."""
    inputs = recipe.inputs or {}
    own = {name: one.encoder for name, one in inputs.items() if group_of(one.kind) != "table" and one.share is None}
    own |= {} if recipe.language is None else {recipe.language: recipe.model.text}
    table = {} if recipe.model.table is None else {"table": recipe.model.table}
    return ModelSpec(
        dim=recipe.model.dim,
        encoders=table | own,
        shared=recipe.shared_inputs,
        trunk=recipe.model.trunk,
        group_dropout=recipe.model.group_dropout,
        heads={name: one.head for name, one in recipe.outputs.items()},
        weights={name: one.weight for name, one in recipe.outputs.items()},
    )


def answers_of(recipe: Recipe, fields: Fields) -> dict[str, Answer]:
    """How the logits of each head are read."""
    heads = {name: HEAD_ANSWERS[one.head.type] for name, one in recipe.outputs.items()}
    source = next(iter(fields.inputs), "")
    return {
        name: SpanAnswer(source) if kind == "span" else _answer(kind, fields.outputs.get(name))
        for name, kind in heads.items()
    }


def _answer(kind: str, field: Any) -> Answer:
    if kind == "number":
        return NumberAnswer(field.mean, field.std, field.log)
    if kind == "text":
        return TextAnswer()
    if kind == "sequence":
        return SequenceAnswer()
    if kind == "preference":
        return PreferenceAnswer()
    labelled: dict[str, type[BinaryAnswer | ClassesAnswer | LabelsAnswer | TagsAnswer]]
    labelled = {"binary": BinaryAnswer, "classes": ClassesAnswer, "labels": LabelsAnswer, "tags": TagsAnswer}
    return labelled[kind](field.labels)


def thresholds_of(recipe: Recipe) -> dict[str, str | float]:
    """What each output's threshold is chosen for."""
    return {name: one.threshold for name, one in recipe.outputs.items()}


def output_layouts(answers: Mapping[str, Answer], fields: Fields) -> dict[str, OutputLayout]:
    """What each head must know of its target."""
    own = fields.inputs | fields.outputs
    return {name: _output_layout(answer, own[name]) for name, answer in answers.items()}


def _output_layout(answer: Answer, field: Any) -> OutputLayout:
    if answer.kind == "number":
        return OutputLayout("number", mean=field.mean, std=field.std, low=field.low, log=field.log)
    if answer.kind == "text" and field.corrupted is not None:
        return OutputLayout(
            "text", field.vocab, end=field.special["end"], max_tokens=field.corrupted.most(field.max_tokens)
        )
    if answer.kind in ("text", "preference"):
        return OutputLayout(answer.kind, field.vocab)
    if answer.kind == "sequence":
        return OutputLayout("sequence", field.vocab, end=field.special["end"], max_tokens=field.max_tokens)
    return OutputLayout(answer.kind, len(getattr(answer, "labels", ())) or 1, tuple(getattr(field, "counts", ())))
