"""Answers from texts: SQuAD's own examples of what counts as equal, and the threshold by trying all of them."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ceiba.metrics import choose_span_threshold, figures, overlap, span_scores
from ceiba.metrics.spans import words_of

ends = st.tuples(st.integers(0, 9), st.integers(1, 5)).map(lambda one: (one[0], one[0] + one[1]))
spans = st.one_of(st.just((0, 0)), ends)


def test_articles_marks_and_case_do_not_count() -> None:
    assert words_of("The  Cat's, an Apple!") == ["cats", "apple"]
    assert span_scores("the Normans.", ["Normans"]) == (1, 1)
    assert span_scores("in the 10th century", ["10th and 11th centuries", "10th"]) == (0, pytest.approx(2 / 4))
    assert span_scores(None, []) == (1, 1)
    assert span_scores(None, ["yes"]) == span_scores("yes", []) == (0, 0)


@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=6))
def test_overlap_is_f1_of_characters(rows: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    found = overlap(np.array([one for one, _ in rows]), np.array([two for _, two in rows]))
    for value, (truth, answer) in zip(found, rows, strict=True):
        there, said = set(range(*truth)), set(range(*answer))
        assert value == pytest.approx(2 * len(there & said) / (len(there) + len(said)) if there | said else 1.0)


@given(st.lists(st.tuples(spans, ends, st.integers(-5, 5)), min_size=1, max_size=8))
@example([((0, 1), (0, 1), 0), ((0, 1), (1, 2), 0)])
def test_no_other_threshold_is_better(rows: list[tuple[tuple[int, int], tuple[int, int], int]]) -> None:
    truth, answer, margins = (np.array(part) for part in zip(*rows, strict=True))

    def reached(threshold: float) -> float:
        return float(overlap(truth, np.where((margins > threshold)[:, None], answer, 0)).sum())

    chosen = choose_span_threshold(truth, answer, margins)
    assert reached(chosen) >= max(reached(cut + 0.5) for cut in range(-7, 7)) - 1e-9


def test_figures_part_rows_with_and_without_an_answer() -> None:
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [np.nan, np.nan]])
    scores = np.array([[1, 1, 1], [0, 0.5, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]])
    table = {name: one["value"] for name, one in figures("span", truth, scores).items()}
    assert table == {"exact_match": 0.5, "token_f1": 0.625, "has_answer_f1": 0.75, "no_answer_accuracy": 0.5}
