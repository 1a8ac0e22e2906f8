"""Specs: frozen, strict descriptions of one thing each, kept beside the thing they configure."""

from collections.abc import Mapping
from typing import Annotated, Any, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Spec(BaseModel):
    """Base of every spec: frozen, an unknown key is an error, each field documented by the string below it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def expand_word(value: object) -> object:
    """A bare word is its `type`: `lstm` means `{type: lstm}`."""
    return {"type": value} if isinstance(value, str) else value


def one_of(catalog: Mapping[str, type[Spec]]) -> Any:
    """The pydantic type "one entry of this catalog, told by its `type`", bare words allowed.

    Every spec in the catalog declares `type: Literal["name"] = "name"` with the name it is listed under.
    """
    specs = tuple(catalog.values())
    union: Any = Union[specs] if len(specs) > 1 else specs[0]  # noqa: UP007 - built at run time
    told = Annotated[union, Field(discriminator="type")] if len(specs) > 1 else union
    return Annotated[told, BeforeValidator(expand_word)]
