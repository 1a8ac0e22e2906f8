"""Specs are frozen and strict, and a bare word is a type."""

from typing import Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from ceiba.base.spec import Spec, one_of


class Lstm(Spec):
    """A spec."""

    type: Literal["lstm"] = "lstm"
    layers: int = 1
    """Layers."""


class Cnn(Spec):
    """Another."""

    type: Literal["cnn"] = "cnn"


CATALOG: dict[str, type[Spec]] = {"lstm": Lstm, "cnn": Cnn}
ADAPTER: TypeAdapter[Any] = TypeAdapter(one_of(CATALOG, "lstm"))


def test_a_bare_word_and_a_missing_type_are_understood() -> None:
    assert ADAPTER.validate_python("cnn") == Cnn()
    assert ADAPTER.validate_python({"layers": 2}) == Lstm(layers=2)
    assert ADAPTER.validate_python({"type": "cnn"}) == Cnn()


def test_an_unknown_key_comes_with_the_nearest_right_one() -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python({"type": "lstm", "layres": 2})
    (error,) = caught.value.errors()
    assert error["type"] == "unknown_key"
    assert error["ctx"] == {"key": "layres", "do": "Did you mean 'layers'?"}


def test_a_spec_is_frozen_and_takes_no_infinity() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Lstm().layers = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Lstm(layers=float("inf"))  # type: ignore[arg-type]


def test_a_catalog_of_one_works() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(one_of({"cnn": Cnn}))
    assert adapter.validate_python("cnn") == Cnn()
