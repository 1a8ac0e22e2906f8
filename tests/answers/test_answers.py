"""Logits → what a person reads."""

import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from scipy.special import softmax as reference_softmax

from ceiba.answers import (
    ANSWERS,
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
    load_answer,
    sigmoid,
    softmax,
)
from ceiba.base.errors import BundleError

EXAMPLES: dict[str, tuple[Answer, tuple[int, ...]]] = {
    "binary": (BinaryAnswer(("no", "yes"), 0.3), ()),
    "classes": (ClassesAnswer(("a", "b", "c")), (3,)),
    "labels": (LabelsAnswer(("a", "b", "c"), (0.5, 0.1, 0.9)), (3,)),
    "number": (NumberAnswer(mean=0.1 + 0.2, std=1 / 3, log=True), ()),
    "preference": (PreferenceAnswer(), (2,)),
    "sequence": (SequenceAnswer(), (4,)),
    "span": (SpanAnswer("passage", 0.2), (3,)),
    "tags": (TagsAnswer(("B-X", "I-X", "O"), tuple(range(15))), (4, 3)),
    "text": (TextAnswer(), (2,)),
}
every_answer = pytest.mark.parametrize("kind", list(ANSWERS))


def test_every_answer_has_an_example() -> None:
    assert EXAMPLES.keys() == ANSWERS.keys()


@every_answer
def test_an_answer_survives_json_with_every_bit(kind: str) -> None:
    answer, _ = EXAMPLES[kind]
    assert load_answer(json.loads(json.dumps(answer.to_json()))) == answer
    assert answer.to_json()["kind"] == kind


@every_answer
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_every_column_has_a_value_for_each_row(kind: str, rows: int) -> None:
    answer, shape = EXAMPLES[kind]
    logits = np.random.default_rng(0).normal(size=(rows, *shape)).astype(np.float32)
    columns = answer.columns("y", logits)
    assert next(iter(columns)) == "y"
    assert all(len(column) == rows for column in columns.values())
    assert kind in ("span", "sequence") or not any(column.null_count for column in columns.values())
    axes = {"text": 0, "preference": 0, "sequence": 0, "tags": 1}.get(kind, len(shape))
    assert answer.scores(logits).shape == (rows, *shape[:axes])
    alone = [answer.columns("y", logits[row : row + 1]) for row in range(rows)]
    for name, column in columns.items():
        assert column.to_pylist() == [one[name][0].as_py() for one in alone]


def test_a_written_text_ends_where_its_tokens_do() -> None:
    columns = SequenceAnswer().columns("de", np.array([[-0.5, 3, 4, 0], [-1.5, 0, 0, 0]]), lambda ids: f"{ids}")
    assert columns["de"].to_pylist() == ["[3, 4]", "[]"]
    assert columns["de_score"].to_pylist() == [-0.5, -1.5]


def test_probabilities_are_those_of_scipy_and_never_overflow() -> None:
    logits = np.array([[-1e4, 0.0, 1e4], [1e300, 1e300, 0.0], [-5.0, 2.0, 3.0]])
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(softmax(logits), reference_softmax(logits, axis=1), rtol=1e-12)
        np.testing.assert_allclose(sigmoid(logits), expit(logits), rtol=1e-12)
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


def test_a_binary_answer_tells_the_probability_of_the_label_it_names() -> None:
    columns = BinaryAnswer(("no", "yes"), 0.2).columns("y", np.array([-1.0, -5.0]))
    assert columns["y"].to_pylist() == ["yes", "no"]
    np.testing.assert_allclose(columns["y_probability"], [expit(-1), expit(5)])
    np.testing.assert_allclose(columns["y_yes"], expit([-1, -5]))
    assert list(columns) == ["y", "y_probability", "y_no", "y_yes"]


def test_classes_name_the_most_probable_and_the_first_of_equals() -> None:
    columns = ClassesAnswer(("a", "b")).columns("y", np.array([[0.0, 1.0], [2.0, 2.0]]))
    assert columns["y"].to_pylist() == ["b", "a"]
    np.testing.assert_allclose(columns["y_probability"], [expit(1), 0.5])


def test_many_classes_have_no_column_each() -> None:
    labels = tuple(f"c{place}" for place in range(21))
    assert list(ClassesAnswer(labels).columns("y", np.zeros((2, 21)))) == ["y", "y_probability"]
    assert len(ClassesAnswer(labels[:20]).columns("y", np.zeros((2, 20)))) == 22


def test_a_label_named_probability_does_not_hide_the_probability() -> None:
    columns = ClassesAnswer(("probability", "b")).columns("y", np.array([[0.0, 9.0]]))
    assert columns["y_probability"][0].as_py() > 0.9


def test_labels_are_lists_that_may_be_empty() -> None:
    columns = LabelsAnswer(("a", "b")).columns("y", np.array([[1.0, -1.0], [-1.0, -1.0], [1.0, 1.0]]))
    assert columns["y"].type == pa.list_(pa.string())
    assert columns["y"].to_pylist() == [["a"], [], ["a", "b"]]
    strict = LabelsAnswer(("a", "b"), (0.9, 0.1)).columns("y", np.array([[1.0, -1.0]]))
    assert strict["y"].to_pylist() == [["b"]]


def test_a_number_comes_back_in_the_users_unit() -> None:
    values = np.array([0.0, 3.0, 1e6])
    standardized = (np.log1p(values) - 2.0) / 0.5
    np.testing.assert_allclose(NumberAnswer(2.0, 0.5, log=True).scores(standardized), values, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(NumberAnswer(2.0, 0.5).columns("y", np.array([1.0]))["y"], [2.5])


@pytest.mark.parametrize("value", [{}, {"kind": "binry"}, {"kind": "binary"}, {"kind": "number", "mean": 0, "more": 1}])
def test_json_that_is_no_answer_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(BundleError) as told:
        load_answer(value)
    assert "\n" not in str(told.value)


def test_a_text_is_told_by_its_probability() -> None:
    columns = TextAnswer().columns("text", np.array([[6.0, 3.0], [0.0, 0.0]]))
    assert columns["text"].to_pylist() == [-6.0, 0.0]
    assert columns["text_tokens"].to_pylist() == [3, 0]
    assert columns["text_perplexity"][0].as_py() == pytest.approx(np.exp(2))


def test_tags_that_go_on_with_nothing_begin_an_entity() -> None:
    labels = ("B-A", "B-B", "I-A", "I-B", "O")
    wanted = [["I-A", "I-A", "O", "I-B"], ["B-A", "I-B", "I-B"], []]
    logits = np.full((3, 4, 5), -1e4)
    for row, tags in enumerate(wanted):
        for place, tag in enumerate(tags):
            logits[row, place] = np.eye(5)[labels.index(tag)]
    columns = TagsAnswer(labels).columns("y", logits)
    assert columns["y"].to_pylist() == [["B-A", "I-A", "O", "B-B"], ["B-A", "B-B", "I-B"], []]
    first = [{"type": "A", "start": 0, "end": 2}, {"type": "B", "start": 3, "end": 4}]
    assert columns["y_entities"].to_pylist()[0] == first


def test_tags_that_are_no_entities_are_left_as_they_are() -> None:
    columns = TagsAnswer(("noun", "verb")).columns("y", np.array([[[0.0, 1.0], [2.0, 1.0]]]))
    assert {name: column.to_pylist() for name, column in columns.items()} == {"y": [["verb", "noun"]]}


def test_a_span_is_quoted_above_its_threshold_alone() -> None:
    answer = SpanAnswer("passage", threshold=0.5)
    logits = np.array([[2, 5, 0.6], [0, 3, 0.4], [0, 0, 9]], dtype=np.float32)
    columns = answer.columns("y", logits, ["über die", "abc", ""])
    assert [columns[name].to_pylist() for name in ("y", "y_start", "y_end")] == [
        ["er ", None, None], [2, None, None], [5, None, None],
    ]  # fmt: skip
    assert columns["y_score"].to_pylist() == pytest.approx([0.1, -0.1, 8.5])
    assert answer.columns("y", logits)["y"].to_pylist() == [None, None, None]
