"""Entities among tags, against the chunks of the shared task's own script, written plainly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceiba.metrics import figures, paired_f1, tag_counts

LABELS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def chunks(tags: list[str]) -> set[tuple[int, int, str]]:
    """conlleval's startOfChunk and endOfChunk for tags of the kinds B, I and O."""
    found, start = set(), None
    before, before_type = "O", ""
    for place, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        ends = before != "O" and (mark in "BO" or before_type != kind)
        starts = mark == "B" or (mark == "I" and (before == "O" or before_type != kind))
        if ends:
            assert start is not None
            found.add((start, place, before_type))
        if starts:
            start = place
        before, before_type = mark, kind
    return found


rows = st.lists(
    st.integers(0, 7).flatmap(
        lambda size: st.tuples(*[st.lists(st.integers(0, 4), min_size=size, max_size=size)] * 2)
    ),
    min_size=1, max_size=5,
)  # fmt: skip


def padded(parts: list[list[int]]) -> np.ndarray:
    width = max(1, *map(len, parts))
    return np.array([part + [-1] * (width - len(part)) for part in parts])


@given(rows)
def test_entities_are_those_of_the_script(found: list[tuple[list[int], list[int]]]) -> None:
    there, said = tag_counts(padded([one for one, _ in found]), padded([one for _, one in found]), LABELS)
    for row, (truth, answer) in enumerate(found):
        true, given_ = chunks([LABELS[tag] for tag in truth]), chunks([LABELS[tag] for tag in answer])
        assert there[row, 0] == len(true)
        right = sum(first == second for first, second in zip(truth, answer, strict=True))
        assert said[row].tolist() == [len(given_), len(true & given_), right]
        assert (there[row, 1] == len(truth)) == bool(truth)


def test_f1_is_over_all_entities_of_all_rows() -> None:
    truth = padded([[0, 2, 4], [1, 4, 4]])
    answer = padded([[0, 2, 4], [0, 4, 1]])
    table = figures("tags", *tag_counts(truth, answer, LABELS))
    assert table["precision"]["value"] == 1 / 3
    assert table["recall"]["value"] == 1 / 2
    assert table["f1"]["value"] == 2 / 5
    assert table["accuracy"]["value"] == 4 / 6


def test_tags_of_no_entities_are_measured_word_by_word() -> None:
    table = figures("tags", *tag_counts(padded([[0, 1]]), padded([[0, 0]]), ("noun", "verb")))
    assert table["f1"]["value"] == table["accuracy"]["value"] == 1 / 2


def test_the_difference_of_two_taggers_is_that_of_their_f1_over_the_same_rows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, (400, 6))
    good = np.where(rng.random(truth.shape) < 0.3, 4, truth)
    bad = np.where(rng.random(truth.shape) < 0.02, 4, good)
    (there, first), (_, second) = (tag_counts(truth, one, LABELS) for one in (good, bad))
    there[0] = np.nan  # a row without a word
    first_f1, second_f1 = (figures("tags", there, counts)["f1"] for counts in (first, second))
    found = paired_f1(there, first, second)
    assert found is not None
    assert found["value"] == pytest.approx(first_f1["value"] - second_f1["value"])
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] < (first_f1["high"] - first_f1["low"]) / 2  # what both miss does not widen it
    same = paired_f1(there, first, first)
    assert same is not None
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert paired_f1(there[:1], first[:1], second[:1]) is None
