"""BLEU and chrF from the counts of rows, held against sacrebleu's own figures of the whole; ROUGE-L by hand."""

import random

import numpy as np
import pytest
import sacrebleu

from ceiba.evaluate.sequences import row_counts
from ceiba.metrics import MAIN, figures, per_row, rouge_l

WORDS = [
    "Ein",
    "Mann",
    ",",
    "der",
    "eine",
    "Gitarre",
    "spielt",
    ".",
    "Zwei",
    "Hunde",
    "laufen",
    "über",
    "grünes",
    "Gras",
    ";",
    "it's",
    "3.5",
    "m",
    "(weit)",
    "Straße",
]


def rows(seed: int, share: float, count: int = 40) -> tuple[list[str], list[str]]:
    """Texts, and others of which a share of the words are the same."""
    draw = random.Random(seed)
    truths = [" ".join(draw.choices(WORDS, k=draw.randint(1, 14))) for _ in range(count)]
    answers = [
        " ".join(word if draw.random() < share else draw.choice(WORDS) for word in truth.split()[: draw.randint(1, 14)])
        for truth in truths
    ]
    return answers, truths


@pytest.mark.parametrize("share", [0.0, 0.2, 0.8, 1.0])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_the_figures_are_those_of_sacrebleu(share: float, count: int) -> None:
    for seed in range(5):
        answers, truths = rows(seed, share, count)
        counts = row_counts(answers, list(truths))
        found = figures("sequence", np.ones(count), counts, resamples=20)
        assert found["bleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(answers, [truths]).score, abs=1e-6)
        assert found["chrf"]["value"] == pytest.approx(sacrebleu.corpus_chrf(answers, [truths]).score, abs=1e-6)
        single = per_row("sequence", np.ones(count), counts, "chrf")
        expected = [sacrebleu.sentence_chrf(one, [other]).score for one, other in zip(answers, truths, strict=True)]
        np.testing.assert_allclose(single, expected, atol=1e-6)


def test_nothing_written_is_worth_nothing() -> None:
    found = figures("sequence", np.ones(2), row_counts(["", ""], ["Ein Mann .", "Zwei Hunde laufen ."]), resamples=5)
    assert {name: one["value"] for name, one in found.items()} == {"bleu": 0, "chrf": 0, "rouge_l": 0}
    assert MAIN["sequence"] == "bleu"


def test_rows_without_a_text_do_not_count() -> None:
    answers, truths = rows(0, 0.7)
    counts = row_counts([*answers, "Unsinn"], [*truths, None])
    known = np.array([1.0] * len(answers) + [np.nan])
    found = figures("sequence", known, counts, resamples=5)
    assert found["bleu"]["value"] == pytest.approx(sacrebleu.corpus_bleu(answers, [truths]).score, abs=1e-6)


def test_rouge_l_by_hand() -> None:
    # Lin 2004, section 3.1: "police killed the gunman" beside "police kill the gunman", and two words swapped
    assert rouge_l(["police", "kill", "the", "gunman"], ["police", "killed", "the", "gunman"]) == 0.75
    assert rouge_l(["the", "gunman", "kill", "police"], ["police", "killed", "the", "gunman"]) == 0.5
    assert rouge_l([], []) == 1
    assert rouge_l(["a"], []) == 0
