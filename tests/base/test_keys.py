"""Randomness with an address."""

import subprocess
import sys

import numpy as np
import pytest

from ceiba.base.keys import generator, key, permutation, philox, uniform

KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
"""From the kat_vectors file of Random123, the reference implementation."""


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], dtype=np.uint64)


@pytest.mark.parametrize(("counter", "key_words", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter: str, key_words: str, expected: str) -> None:
    low, high = words(key_words)
    assert philox(words(counter), int(low) | int(high) << 32).tolist() == words(expected).tolist()


def test_a_key_tells_apart_addresses_that_look_alike() -> None:
    assert len({key(1, "a"), key("1", "a"), key(1, "a", 0), key("1a"), key(11, "a")}) == 5


def test_a_key_is_the_same_in_another_process() -> None:
    code = "from ceiba.base.keys import key; print(key(7, 'order', 3))"
    outputs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert outputs == {f"{key(7, 'order', 3)}\n"}


@pytest.mark.parametrize("draws", [1, 4, 7])
def test_a_rows_numbers_depend_on_no_other_row(draws: int) -> None:
    together = uniform(np.array([5, 0, 2**40, 5]), draws, 3, "crop", 1)
    assert together.shape == (4, draws)
    assert together.dtype == np.float32
    assert (together[0] == together[3]).all()
    for place, row in enumerate((5, 0, 2**40)):
        assert (uniform(np.array([row]), draws, 3, "crop", 1)[0] == together[place]).all()


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    numbers = uniform(np.arange(50_000), 2, 0, "flip", 0)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, 20, (0, 1))
    assert np.abs(counts / len(numbers) / 2 - 0.05).max() < 0.003
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.02


def test_no_rows_give_no_numbers() -> None:
    assert uniform(np.array([], dtype=np.int64), 3, 0).shape == (0, 3)


def test_another_epoch_gives_another_order_and_the_same_one_the_same() -> None:
    first, second = permutation(100, 0, "order", 0), permutation(100, 0, "order", 1)
    assert sorted(first) == list(range(100))
    assert (first != second).any()
    assert (first == permutation(100, 0, "order", 0)).all()
    assert generator(0, "a").random() != generator(0, "b").random()
