"""Language models: figures, and the counts they must beat, against plain arithmetic."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceiba.evaluate.contamination import contamination_notes, overlaps
from ceiba.evaluate.ngram import count_ngrams
from ceiba.metrics import figures
from ceiba.read import open_frame


def plain(training: list[int], vocab: int, history: tuple[int, ...], word: int) -> float:
    """Witten-Bell by its definition."""
    runs: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for place in range(len(training) - len(history)):
        runs[tuple(training[place : place + len(history)])][training[place + len(history)]] += 1
    below = plain(training, vocab, history[1:], word) if history else 1 / (vocab - 1)
    seen = runs[history]
    if not seen:
        return below
    return (seen[word] + len(seen) * below) / (sum(seen.values()) + len(seen))


@given(st.lists(st.integers(1, 4), min_size=8, max_size=40), st.lists(st.integers(1, 5), min_size=2, max_size=12))
def test_counts_of_runs_are_those_of_the_definition(training: list[int], text: list[int]) -> None:
    model = count_ngrams(np.array(training), 6)
    for most in (1, 2, None):
        found = model.surprises(np.array(text), most)
        length = (most or 6) - 1
        for place in range(1, len(text)):
            history = tuple(text[max(0, place - length) : place])
            assert found[place - 1] == pytest.approx(-math.log(plain(training, 6, history, text[place])))


def test_probabilities_of_all_tokens_add_up_to_one() -> None:
    model = count_ngrams(np.array([1, 2, 3, 1, 2, 4, 1, 2, 3]), 6)
    total = sum(math.exp(-model.surprises(np.array([1, 2, word]))[-1]) for word in range(1, 6))
    assert total == pytest.approx(1)


def test_figures_weigh_each_token_alike_however_rows_are_cut() -> None:
    nats, tokens, size = np.array([6.0, 1.0, 5.0]), np.array([3.0, 1.0, 2.0]), np.array([9.0, 2.0, 5.0])
    truth = np.stack([tokens, size], 1)
    found = figures("text", truth, nats / tokens)
    assert found["loss"]["value"] == pytest.approx(12 / 6)
    assert found["perplexity"]["value"] == pytest.approx(math.exp(2))
    assert found["bits_per_byte"]["value"] == pytest.approx(12 / 16 / math.log(2))
    assert found["loss"]["low"] < 2 < found["loss"]["high"]
    without = figures("text", np.stack([tokens, 0 * size], 1), nats / tokens)
    assert set(without) == {"loss", "perplexity"}
    some = figures("text", np.where([[True], [False], [True]], truth, np.nan), nats / tokens)
    assert some["loss"]["value"] == pytest.approx(11 / 5)


def test_texts_that_training_has_met_are_counted() -> None:
    words = [f"w{place}" for place in range(40)]
    train = open_frame({"text": [" ".join(words), "something else entirely"]})
    copied = " ".join(["begin", *words[5:18], "end"])
    close = " ".join(["begin", *words[5:17], "end of it"])
    held = {"test": open_frame({"text": [copied, copied.upper(), close, "short", None]}), "valid": train}
    assert overlaps(train, held, "text") == {"test": (2, 3), "valid": (1, 1)}
    assert contamination_notes(train, {"test": held["test"]}, "text")[0].startswith("test: 2 of 3 texts")
    assert contamination_notes(train, {"test": open_frame({"text": [close]})}, "text") == ()


def test_runs_of_characters_are_counted_where_blanks_part_no_words() -> None:
    text = "".join(chr(0x4E00 + place) for place in range(120))
    train = open_frame({"text": [text]})
    assert overlaps(train, {"test": open_frame({"text": [text[30:85], text[30:79] + "x" * 9]})}, "text") == {
        "test": (1, 2)
    }
