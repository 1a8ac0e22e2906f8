"""The recipe's own spec: it composes the specs of all rooms and adds only their order."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)  # fmt: skip
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from ceiba.adapt import AdaptSpec, TeacherSpec
from ceiba.base.errors import listed
from ceiba.base.spec import Spec, one_of
from ceiba.base.yaml import write_yaml
from ceiba.encoders import ENCODERS
from ceiba.evaluate import EvaluateSpec
from ceiba.fields import FIELDS, TABLE_KINDS, FieldSpec
from ceiba.heads import HEADS
from ceiba.prepare import IN_MEMORY, DataSpec
from ceiba.recipe.tune import TuneSpec
from ceiba.train import FREE, TrainSpec
from ceiba.trunks import TRUNKS

AUTO = "auto"
PLACES = ("train", "valid", "test", "files")
"""Keys of the data that hold paths."""
HEAD_OF_KIND = {
    "number": "regression", "binary": "binary", "category": "classes", "set": "labels", "tags": "tags",
    "text": "next_token", "chat": "next_token", "span": "span",
}  # fmt: skip
LANGUAGE_HEADS = ("next_token", "masked", "denoise", "preference")
"""Heads of a text that is its own target."""
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


class Misplaced(ValueError):
    """What pydantic found wrong with a part that is read by itself, and the key of that part."""

    def __init__(self, key: str, error: ValidationError):
        super().__init__(str(error))
        self.key, self.error = key, error


def _read(key: str, adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return value if isinstance(value, Spec) else adapter.validate_python(value)
    except ValidationError as error:
        raise Misplaced(key, error) from error


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

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The flat form: for each kind the options of its field, with the keys of this spec beside them."""
        own = handler.resolve_ref_schema(super().__get_pydantic_json_schema__(core, handler))["properties"]
        own = {name: value for name, value in own.items() if name != "field"}
        forms: list[JsonSchemaValue] = [{"enum": [AUTO, *FIELDS]}]
        for kind, spec in FIELDS.items():
            field = handler.resolve_ref_schema(
                spec.__get_pydantic_json_schema__(spec.__pydantic_core_schema__, handler)
            )
            extra = {name: _part(name, kind, handler) or value for name, value in own.items()}
            forms.append({**field, "properties": {**field["properties"], **extra}})
        return {"description": cls.__doc__, "anyOf": forms}

    @property
    def kind(self) -> str:
        """The kind of the field, or `auto` while it is not known."""
        return AUTO if self.field is None else str(self.field.type)


def group_of(kind: str) -> str:
    """The catalog of encoders that reads a kind of field."""
    return "table" if kind in TABLE_KINDS else kind


def _part(name: str, kind: str, handler: GetJsonSchemaHandler) -> JsonSchemaValue | None:
    """The schema of an encoder or a head, whose catalogs the types of the spec do not tell."""
    adapters = {"head": HEAD_OPTIONS, "encoder": ENCODER_OPTIONS.get(kind)}
    adapter = adapters.get(name)
    return None if adapter is None else handler(adapter.core_schema)


class InputSpec(ColumnSpec):
    """One input column."""

    column: str | None = None
    """The column it reads, where that has another name: several inputs may be views of one column."""
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
        object.__setattr__(self, "encoder", _read("encoder", ENCODER_OPTIONS[group], self.encoder))
        return self


class OutputSpec(ColumnSpec):
    """One output column: a target to learn."""

    share: str | None = None
    """Text under the head sequence: the input in whose tokens it is written, which also lends their vectors."""
    head: Any = None
    """What answers it; nothing: the head that fits its kind."""
    weight: float = Field(1.0, ge=0)
    """Weight of its loss beside those of other outputs."""
    threshold: Literal["accuracy", "f1", "balanced_accuracy"] | float = "accuracy"
    """Binary: the probability from which the answer is yes, or the figure it is chosen for on the validation rows."""

    @model_validator(mode="after")
    def head_of_kind(self) -> "OutputSpec":
        """Read the head by its catalog, or choose the one that fits."""
        head = self.head if self.head is not None else HEAD_OF_KIND.get(self.kind)
        if isinstance(head, Mapping) and "type" not in head and self.kind in HEAD_OF_KIND:
            head = {"type": HEAD_OF_KIND[self.kind], **head}
        if head is not None:
            object.__setattr__(self, "head", _read("head", HEAD_OPTIONS, head))
        return self


def _seen_from(folder: Path, source: Any) -> Any:
    """Paths as seen from a folder; what is no path, such as a table in memory, stays as it is."""
    if isinstance(source, list):
        return [_seen_from(folder, one) for one in source]
    if isinstance(source, dict):
        return {name: _seen_from(folder, one) for name, one in source.items()}
    return source if not isinstance(source, str) or source == IN_MEMORY else os.path.relpath(source, folder)


class NetworkSpec(Spec):
    """The network: encoders by kind of input, one trunk."""

    size: Literal["nano", "micro", "small", "medium", "large", "xl"] | None = None
    """Language models: width, blocks and heads at once, from a million parameters to some billions; left out: micro."""
    dim: int = 128
    """Width of every token."""
    table: one_of(ENCODERS["table"], "mlp") | None = None  # type: ignore[valid-type]
    """Encoder of all table columns together."""
    text: one_of(ENCODERS["text"], "bag") | None = None  # type: ignore[valid-type]
    """Encoder of text inputs that name none."""
    words: one_of(ENCODERS["words"], "lstm") | None = None  # type: ignore[valid-type]
    """Encoder of inputs of words that name none."""
    image: one_of(ENCODERS["image"], "cnn") | None = None  # type: ignore[valid-type]
    """Encoder of image inputs that name none."""
    trunk: one_of(TRUNKS, "none") | None = None  # type: ignore[valid-type]
    """What mixes the tokens of all groups."""
    group_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of rows from which a whole group (the table, a text, an image) is dropped while training, each group by
    itself; for several groups."""


def _with_nothing(spec: Spec, value: dict[str, Any]) -> dict[str, Any]:
    """The keys put back that are nothing although their default is something, such as `clip_norm`."""
    for name, field in type(spec).model_fields.items():
        own = getattr(spec, name)
        if own is None and field.default is not None and not field.is_required():
            value[name] = None
        elif isinstance(own, Spec):
            _with_nothing(own, value[name])
    return value


class Recipe(Spec):
    """From raw data to a measured model. Everything has a default except the data and what to predict."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    name: str | None = None
    """What the run is called; nothing: as the recipe's file or the data."""
    origin: str | None = Field(None, alias="from")
    """What the model begins with: a bundle, a Hugging Face folder, or owner/name@commit on its hub; nothing: chance."""
    adapt: AdaptSpec | None = None
    """How what it begins with is changed: full, lora or frozen; only with `from`. Left out: full."""
    teacher: TeacherSpec | None = None
    """A bundle whose answers to the training rows are learnt from beside the targets; nothing: the targets alone."""
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
    seeds: int = Field(1, ge=1)
    """How often the training is repeated, with train.seed, the next number, ...; figures are then means over them."""
    tune: TuneSpec | None = None
    """What `ceiba tune` searches; training does not read it."""

    @model_validator(mode="after")
    def targets_are_not_inputs(self) -> "Recipe":
        """A target among the inputs would be answered by copying it."""
        if both := sorted({one.column or name for name, one in (self.inputs or {}).items()} & set(self.outputs)):
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

    @model_validator(mode="after")
    def adapts_something(self) -> "Recipe":
        """Without an origin there is nothing to adapt."""
        if self.adapt is not None and self.origin is None:
            raise PydanticCustomError(
                "no_origin", "adapt needs something to begin with", {"got": "no from", "do": "Add from: FOLDER"}
            )
        return self

    @model_validator(mode="after")
    def teaches_whole_rows(self) -> "Recipe":
        """A teacher answers rows as they are, not blends of two."""
        mixed = [name for name in ("mixup", "cutmix") if getattr(self.train.augment, name)]
        if self.teacher is not None and mixed:
            raise PydanticCustomError(
                "blended", "teacher needs rows as they are", {"got": mixed[0], "do": f"Leave {mixed[0]} out"}
            )
        return self

    @property
    def title(self) -> str:
        """The name, or one made from the data's."""
        source = self.data.train
        if isinstance(source, Mapping) and all(isinstance(one, str | Path) for one in source.values()):
            source = list(source.values())
        first = source[0] if isinstance(source, list | tuple) and source else source
        return self.name or (Path(first).name.split(".")[0] if isinstance(first, str | Path) else "table")

    @property
    def language(self) -> str | None:
        """The output that is its own input."""
        heads = {name: one.head for name, one in self.outputs.items() if one.head is not None}
        return next((name for name, head in heads.items() if head.type in LANGUAGE_HEADS), None)

    @property
    def targets(self) -> list[str]:
        """The outputs that stand beside what is learnt from."""
        return [name for name in self.outputs if name != self.language]

    @property
    def input_fields(self) -> dict[str, FieldSpec]:
        """The field of every input; one that uses another's is fitted with it."""
        own = {} if self.language is None else {self.language: self.outputs[self.language].field}
        return own | {name: one.field for name, one in (self.inputs or {}).items()}

    @property
    def shared_inputs(self) -> dict[str, str]:
        """The inputs that use another's field and encoder, and whose."""
        return {name: one.share for name, one in (self.inputs or {}).items() if one.share is not None}

    @property
    def texts(self) -> list[str]:
        """The outputs that are said to be texts, and stand beside what is learnt from."""
        return [name for name in self.targets if self.outputs[name].kind == "text"]

    @property
    def lent(self) -> dict[str, str]:
        """The outputs that are written in the tokens of an input, and whose."""
        return {name: one.share for name, one in self.outputs.items() if one.share is not None}

    @property
    def input_columns(self) -> dict[str, str]:
        """The inputs that read a column of another name, and which."""
        return {name: one.column for name, one in (self.inputs or {}).items() if one.column not in (None, name)}

    @property
    def output_fields(self) -> dict[str, FieldSpec]:
        """The field of every output that is no input."""
        return {name: self.outputs[name].field for name in self.targets}

    @property
    def reading(self) -> dict[str, Any]:
        """How data must be read and cleaned to be like the training data, for a bundle to keep."""
        where = {"root", "train", "valid", "test", "split", "weight", "files"}
        return self.data.model_dump(mode="json", exclude=where, exclude_none=True)

    @property
    def identity(self) -> str:
        """All but names, paths and what changes no weight, as JSON: what a run must be resumed with."""
        kept = self.model_dump(mode="json", exclude={"name": True, "data": set(PLACES), "train": set(FREE)})
        return json.dumps(kept, sort_keys=True)

    def to_plain(self) -> dict[str, Any]:
        """The recipe as plain values, without keys that are not told; nothing is told where it is not the default."""
        return _with_nothing(self, self.model_dump(mode="json", exclude_none=True))

    def to_yaml(self, folder: Path | None = None) -> str:
        """The recipe written out in full; with a folder, its paths of data are as seen from there."""
        value = self.to_plain()
        if folder is not None:
            value["data"] |= {name: _seen_from(folder, value["data"][name]) for name in PLACES if name in value["data"]}
            if self.origin is not None and Path(self.origin).exists():
                value["from"] = os.path.relpath(self.origin, folder)
            if self.teacher is not None:
                value["teacher"]["bundle"] = os.path.relpath(self.teacher.bundle, folder)
            if (adapter := value.get("adapt", {}).get("adapter")) is not None:
                value["adapt"]["adapter"] = os.path.relpath(adapter, folder)
            for column in (*value.get("inputs", {}).values(), *value["outputs"].values()):
                if "folder" in (tokenizer := column.get("tokenizer", {})):
                    tokenizer["folder"] = os.path.relpath(tokenizer["folder"], folder)
        return write_yaml(value)
