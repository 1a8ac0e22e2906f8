"""All fields of a row together."""

import json

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base.errors import BundleError, DataError, RecipeError
from ceiba.fields import CategorySpec, Fields, NumberSpec, SetSpec, TextSpec, VectorSpec, load_field

BATCH = pa.record_batch(
    {
        "age": pa.array([39, None, 28]),
        "job": ["clerk", "cook", None],
        "tags": pa.array([["a"], ["b"], []], pa.list_(pa.string())),
        "place": pa.array([[1.0, 2.0], [3.0, 4.0], None]),
        "title": ["good film", "bad film", ""],
        "review": ["good good", "bad", "film"],
        "income": ["low", "high", "low"],
        "price": [1.0, 2.0, None],
    }
)


def fields() -> Fields:
    title = TextSpec(tokenizer="ngrams").fit([BATCH["title"]])
    return Fields(
        inputs={
            "job": CategorySpec().fit([BATCH["job"]]),
            "title": title,
            "age": NumberSpec().fit([BATCH["age"]]),
            "tags": SetSpec().fit([BATCH["tags"]]),
            "review": title,
            "place": VectorSpec().fit([BATCH["place"]]),
            "work": CategorySpec().fit([BATCH["job"]]),
        },
        outputs={"income": CategorySpec().fit([BATCH["income"]]), "price": NumberSpec().fit([BATCH["price"]])},
        shared={"review": "title"},
        columns={"work": "job"},
    )


def test_table_columns_stand_side_by_side_and_other_inputs_by_name() -> None:
    encoded = fields().encode(BATCH)
    text_parts = ["title.ids", "title.weights", "review.ids", "review.weights"]
    assert list(encoded) == ["table.codes", "table.numbers", *text_parts]
    layout = fields().layouts()
    assert list(layout) == ["table", "title", "review"]
    assert layout["title"] == layout["review"]
    assert layout["table"].names == (
        "age", "age is missing", "tags a", "tags b", "place 0", "place 1", "place is missing", "job", "work",
    )  # fmt: skip
    assert encoded["table.numbers"].shape == (3, layout["table"].num_numbers)
    assert encoded["table.codes"].tolist() == [[2, 2], [3, 3], [0, 0]]
    assert len(layout["table"].edges) == layout["table"].num_numbers


def test_targets_are_named_by_output() -> None:
    targets = fields().targets(BATCH)
    assert targets["income"].tolist() == [1, 0, 1]
    assert np.isnan(targets["price"]).tolist() == [False, False, True]


def test_a_part_without_columns_is_absent() -> None:
    only = Fields({"job": CategorySpec().fit([BATCH["job"]])}, {})
    assert list(only.encode(BATCH)) == ["table.codes"]
    assert Fields({}, {}).encode(BATCH) == {}
    assert Fields({}, {}).layouts() == {}


def test_fields_survive_json_and_files() -> None:
    before = fields()
    after = Fields.from_json(json.loads(json.dumps(before.to_json())), before.files())
    assert sorted(before.files()) == ["inputs/title/idf.npy", "inputs/title/ngrams.npy"]
    assert after.to_json() == before.to_json()
    assert after.layouts() == before.layouts()
    assert after.inputs["review"] is after.inputs["title"]
    one, other = before.encode(BATCH), after.encode(BATCH)
    assert list(one) == list(other)
    np.testing.assert_array_equal(one["table.numbers"], other["table.numbers"])


def test_a_missing_column_is_told_with_the_nearest_name() -> None:
    with pytest.raises(DataError) as told:
        fields().encode(BATCH.rename_columns(["Age", *BATCH.schema.names[1:]]))
    assert str(told.value) == "the rows must have a column 'age'. Got none. Did you mean 'Age'?"


def test_a_bad_value_is_told_with_its_column() -> None:
    rows = BATCH.set_column(0, "age", pa.array(["39", "n/a", "28"]))
    with pytest.raises(DataError) as told:
        fields().encode(rows)
    assert str(told.value) == "column 'age' must be a number. Got 'n/a'. Add 'n/a' to data.missing."


def test_a_kind_that_cannot_be_predicted_is_told_with_its_column() -> None:
    with pytest.raises(RecipeError, match="column 'place' must be a kind that can be predicted"):
        Fields({}, {"place": VectorSpec().fit([BATCH["place"]])}).targets(BATCH)


def test_an_input_shares_only_a_field_that_is_there() -> None:
    job = CategorySpec().fit([BATCH["job"]])
    with pytest.raises(RecipeError, match="Did you mean 'job'"):
        Fields({"job": job, "other": job}, {}, {"other": "jobb"})
    shared = Fields({"job": job}, {}, {"income": "job"})
    assert shared.encode(BATCH)["table.codes"].shape == (3, 2)


def test_a_text_input_must_not_be_named_table() -> None:
    title = TextSpec(tokenizer="ngrams").fit([BATCH["title"]])
    with pytest.raises(RecipeError, match="table"):
        Fields({"table": title}, {})
    number = NumberSpec().fit([BATCH["age"]])
    assert list(Fields({"table": number}, {}).encode(pa.record_batch({"table": [1]}))) == ["table.numbers"]


@pytest.mark.parametrize(
    "value", [{}, {"kind": "numbr"}, {"kind": "number"}, {"kind": "number", "mean": 0.0, "more": 1}, {"kind": "text"}]
)
def test_json_that_is_no_field_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(BundleError) as told:
        load_field(value, {})
    assert "\n" not in str(told.value)
