"""What is left open is inferred, and what was said is kept."""

import pyarrow as pa
import pytest

from ceiba.base.errors import RecipeError
from ceiba.read import open_frame
from ceiba.recipe import Recipe, check_recipe, complete

FRAME = open_frame(pa.table({"a": [1.0, 2.0, 3.0], "id": ["x", "y", "z"], "y": ["no", "yes", "no"]}))
KINDS = {"a": "number", "id": "id", "y": "binary"}


def recipe(**keys: object) -> Recipe:
    return check_recipe(
        {"data": {"train": "x.csv"}, "outputs": {"y": {"type": "auto", "threshold": "f1"}}, **keys}, {}, "r"
    )


def test_an_inferred_output_keeps_what_was_said_of_it() -> None:
    output = complete(recipe(), FRAME, KINDS).outputs["y"]
    assert (output.kind, output.threshold, output.head.type) == ("binary", "f1", "binary")


def test_an_input_left_open_that_is_an_id_is_an_error_of_one_line() -> None:
    with pytest.raises(RecipeError, match=r"inputs\.id holds nothing that is learnt from"):
        complete(recipe(inputs={"a": "number", "id": "auto"}), FRAME, KINDS)


def test_an_input_reads_the_column_it_names() -> None:
    found = complete(recipe(inputs={"a": "number", "again": {"column": "a"}}), FRAME, KINDS)
    assert found.inputs is not None
    assert found.inputs["again"].kind == "number"
    assert found.input_columns == {"again": "a"}
    assert complete(check_recipe(found.to_plain(), {}, "r"), FRAME, KINDS).input_columns == {"again": "a"}
    with pytest.raises(RecipeError, match="must have the column 'b'"):
        complete(recipe(inputs={"again": {"column": "b", "type": "number"}}), FRAME, KINDS)
    with pytest.raises(RecipeError, match=r"outputs must not be inputs too\. Got y"):
        recipe(inputs={"again": {"column": "y", "type": "category"}})
