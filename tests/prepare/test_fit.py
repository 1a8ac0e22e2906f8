"""Fitting: on the training rows, each column by its spec, and every reason not to, in words."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base.errors import DataError, RecipeError
from ceiba.fields import CategorySpec, Field, FieldSpec, NumberField, NumberSpec, Target
from ceiba.prepare import fit_fields
from ceiba.read import open_frame

NUMBER, CATEGORY = NumberSpec(bins=None), CategorySpec()
DATA: dict[str, list[Any]] = {"age": [1.0, 2.0, 3.0, None], "job": ["a", "b", "a", "c"], "y": ["n", "y", "n", "y"]}


class Watching(FieldSpec):
    """Passes on to a number, and keeps what it was given."""

    type: str = "watching"
    seen: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> Field:
        self.seen.update(target=target, seed=seed, rows=sum(len(chunk) for chunk in column))
        return NUMBER.fit(column)


def test_fields_are_fitted_by_their_specs() -> None:
    fields = fit_fields(open_frame(DATA), {"age": NUMBER, "job": CATEGORY}, {"y": CATEGORY})
    age = fields.inputs["age"]
    assert isinstance(age, NumberField)
    assert age.mean == 2.0
    assert list(fields.inputs) == ["age", "job"]
    assert list(fields.outputs) == ["y"]


def test_bins_are_given_the_first_output_row_by_row() -> None:
    data = {**DATA, "price": [1.0, 2.0, 4.0, None]}
    watching = Watching()
    fit_fields(open_frame(data), {"age": watching}, {"y": CATEGORY, "price": NUMBER}, seed=7)
    target = watching.seen["target"]
    assert target.is_class
    assert watching.seen["seed"] == 7
    assert np.concatenate(list(target.values)).tolist() == [0, 1, 0, 1]
    watching = Watching()
    fit_fields(open_frame(data), {"age": watching}, {"price": NUMBER, "y": CATEGORY})
    assert not watching.seen["target"].is_class
    assert np.isnan(np.concatenate(list(watching.seen["target"].values))[3])


def test_shared_inputs_are_learnt_together() -> None:
    data = {"a": [1.0, 2.0], "b": [3.0, 10.0], "y": ["n", "y"]}
    watching = Watching()
    fields = fit_fields(open_frame(data), {"a": watching, "b": NUMBER}, {"y": CATEGORY}, shared={"b": "a"})
    assert fields.inputs["a"] is fields.inputs["b"]
    assert watching.seen["rows"] == 4
    assert fields.inputs["a"].mean == 4.0  # type: ignore[attr-defined]
    assert fields.shared == {"b": "a"}
    with pytest.raises(RecipeError, match="share"):
        fit_fields(open_frame(data), {"a": NUMBER, "b": NUMBER}, {"y": CATEGORY}, shared={"b": "c"})


def test_two_inputs_are_views_of_one_column() -> None:
    fields = fit_fields(open_frame(DATA), {"age": NUMBER, "years": CATEGORY}, {"y": CATEGORY}, columns={"years": "age"})
    assert [one.kind for one in fields.inputs.values()] == ["number", "category"]
    assert fields.read == ("age",)
    found = fields.encode(pa.record_batch({"age": [2.0, 9.0]}))
    assert found["table.codes"].tolist() == [[3], [1]]
    with pytest.raises(RecipeError, match="target must not be among the inputs"):
        fit_fields(open_frame(DATA), {"age": NUMBER, "copy": CATEGORY}, {"y": CATEGORY}, columns={"copy": "y"})
    with pytest.raises(DataError, match="must have the column 'agee'"):
        fit_fields(open_frame(DATA), {"years": NUMBER}, {"y": CATEGORY}, columns={"years": "agee"})


@pytest.mark.parametrize(
    ("change", "inputs", "text"),
    [
        ({}, {"agee": NUMBER}, r"'agee'.*Did you mean 'age'"),
        ({}, {"age": NUMBER, "y": CATEGORY}, r"target must not be among the inputs. Got 'y'"),
        ({}, {}, r"inputs must name a column"),
        ({"age": [None] * 4}, {"age": NUMBER}, r"'age' must hold a number.*only missing"),
        ({"age": [float("nan")] * 4}, {"age": NUMBER}, r"'age' must hold a number.*only missing"),
        ({"y": ["n"] * 4}, {"age": NUMBER}, r"'y' must take at least two values.*one in all rows"),
        ({"y": ["n", None, "", "n"]}, {"age": NUMBER}, r"'y' must take at least two values"),
        ({"y": [None] * 4}, {"age": NUMBER}, r"'y' must hold a label.*only missing"),
        ({"age": ["1", "2", "x", "3"]}, {"age": NUMBER}, r"column 'age'.*'x'"),
    ],
)
def test_reasons_not_to_fit(change: dict[str, Any], inputs: dict[str, FieldSpec], text: str) -> None:
    with pytest.raises((DataError, RecipeError), match=text) as caught:
        fit_fields(open_frame({**DATA, **change}), inputs, {"y": CATEGORY})
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_no_rows() -> None:
    empty = open_frame({"age": pa.array([], pa.float64()), "y": pa.array([], pa.string())})
    with pytest.raises(DataError, match="rows to learn from"):
        fit_fields(empty, {"age": NUMBER}, {"y": CATEGORY})


def test_a_target_that_varies_late_is_seen() -> None:
    data = {"x": [1.0] * 100_000, "y": ["a"] * 99_999 + ["b"], "z": [[1.0]] * 99_999 + [[2.0]]}
    fields = fit_fields(open_frame(data), {"x": NUMBER}, {"y": CATEGORY})
    assert fields.outputs["y"].labels == ("a", "b")  # type: ignore[attr-defined]
