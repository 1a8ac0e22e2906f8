"""Specs: frozen, strict descriptions of one thing each, kept beside the thing they configure."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Any, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from ceiba.base.errors import nearest


class Spec(BaseModel):
    """Base of every spec: frozen, an unknown key is an error, each field documented by the string below it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def known_keys(cls, value: object) -> object:
        """Name an unknown key together with the nearest right one, which pydantic alone does not."""
        known = {field.alias or name for name, field in cls.model_fields.items()}
        if isinstance(value, Mapping):
            for name in value:
                if name not in known:
                    raise unknown_key(str(name), known)
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """With the documentation of each field. Pydantic can read it too, but reads all source for it with each import,
        which takes a fifth of a second."""
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for one in reversed(cls.__mro__):
            for name, text in _documentation(one).items() if issubclass(one, Spec) else ():
                field = cls.model_fields.get(name)  # class variables have none
                if field is not None and (shown := field.alias or name) in properties:
                    properties[shown]["description"] = text
        return schema


def _documentation(cls: type) -> dict[str, str]:
    """Of each field that a class declares, the string below it."""
    body = ast.parse(dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        above.target.id: inspect.cleandoc(below.value.value)
        for above, below in pairwise(body.body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }  # fmt: skip


def unknown_key(name: str, known: set[str]) -> PydanticCustomError:
    """The error for a key that a spec does not have; `recipe.py` reads its context."""
    return PydanticCustomError("unknown_key", "has no key '{key}'", {"key": name, "do": nearest(name, sorted(known))})


def _expand(value: object, default: str | None) -> object:
    if isinstance(value, str):
        return {"type": value}
    if default is not None and isinstance(value, Mapping) and "type" not in value:
        return {"type": default, **value}
    return value


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(dotted path, value) of everything within nested mappings that is not itself a mapping with keys."""
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from leaves(below, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def one_of(catalog: Mapping[str, type[Spec]], default: str | None = None) -> Any:
    """The pydantic type "one entry of this catalog, told by its `type`": a bare word is its `type`, and without one the
    type is `default`.

    Every spec in the catalog declares `type: Literal["name"] = "name"` with the name it is listed under.
    """
    specs = tuple(catalog.values())
    union: Any = Union[specs] if len(specs) > 1 else specs[0]  # noqa: UP007 - built at run time
    told = Annotated[union, Field(discriminator="type")] if len(specs) > 1 else union
    return Annotated[told, BeforeValidator(partial(_expand, default=default))]
