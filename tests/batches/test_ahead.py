"""Batches made ahead in threads: the same bits in the same order, bounded, their errors at their place."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ceiba.base.errors import CeibaError
from ceiba.batches import AugmentSpec, Batch, Batches
from ceiba.batches.ahead import DEPTH, ahead
from ceiba.fields import Ragged
from ceiba.prepare import Arrays

EVERYTHING = AugmentSpec(
    flip=True, crop=2, rotate=20, color=0.3, erase=0.5, token_dropout=0.2, noise=0.1, mixup=0.4, cutmix=0
)
ROWS = 203


def arrays() -> Arrays:
    random = np.random.default_rng(0)
    lengths = random.integers(0, 9, ROWS)
    texts = Ragged(random.integers(1, 50, lengths.sum()).astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]))
    parts = {
        "table.numbers": random.normal(size=(ROWS, 3)).astype(np.float32),
        "photo.pixels": random.integers(0, 256, (ROWS, 12, 10, 3), dtype=np.uint8), "text.ids": texts,
    }  # fmt: skip
    weight = random.uniform(size=ROWS).astype(np.float32)
    return Arrays(Path(), ROWS, parts, {"y": random.integers(0, 3, ROWS)}, weight, np.arange(ROWS))


def bits(batches: Iterator[Batch]) -> list[dict[str, bytes]]:
    found = []
    for batch in batches:
        tensors = {**batch.inputs, **batch.targets, "weight": batch.weight, "rows": torch.from_numpy(batch.rows)}
        tensors |= {"share": batch.mix.share, "partner": batch.mix.targets["y"]} if batch.mix else {}
        found.append({name: value.numpy().tobytes() for name, value in tensors.items() if value is not None})
    return found


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_batches_are_the_same_for_any_number_of_workers(start: int, share: tuple[int, int]) -> None:
    data = arrays()
    plain, *others = (
        bits(Batches(data, 16, 7, EVERYTHING, workers).epoch(3, start, share)) for workers in (0, 1, 2, 5)
    )
    assert len(plain) == 13 - start
    assert len({batch["photo.pixels"] for batch in plain}) == len(plain)
    assert all(other == plain for other in others)


def test_validation_is_in_order_for_any_number_of_workers() -> None:
    data = arrays()
    plain, threads = (
        [(places.tolist(), bits(iter([batch]))) for places, batch in Batches(data, 16, 7, workers=workers).in_order()]
        for workers in (0, 3)
    )
    assert plain == threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_colors_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    before, data = torch.get_num_threads(), arrays()
    whole = bits(Batches(data, ROWS, 7, AugmentSpec(color=0.5)).epoch(0))
    torch.set_num_threads(threads)
    try:
        assert bits(Batches(data, ROWS, 7, AugmentSpec(color=0.5)).epoch(0)) == whole
    finally:
        torch.set_num_threads(before)


def test_no_more_are_made_than_may_wait() -> None:
    made = []

    def make(place: int) -> int:
        made.append(place)
        return place

    stream = ahead(make, range(100), 3)
    assert next(stream) == 0
    time.sleep(0.2)
    assert len(made) == 3 * DEPTH + 1
    stream.close()  # type: ignore[attr-defined]
    assert not [one for one in threading.enumerate() if one.name.startswith("ceiba-batches")]
    assert len(made) == 3 * DEPTH + 1


def test_slow_ones_keep_their_place() -> None:
    def make(place: int) -> int:
        time.sleep(0.02 * (place % 3 == 0))
        return place

    assert list(ahead(make, range(20), 4)) == list(range(20))
    assert list(ahead(make, [], 4)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_at_its_place(workers: int) -> None:
    def make(place: int) -> int:
        if place == 4:
            raise OSError("no such page")
        return place

    stream, seen = ahead(make, range(10), workers), list[int]()
    with pytest.raises(OSError, match="no such page"):
        seen.extend(stream)
    assert seen == [0, 1, 2, 3]


def test_workers_work_while_the_step_does() -> None:
    """Sleeping, as reading and augmenting do, leaves the lock to others."""

    def make(place: int) -> int:
        time.sleep(0.03)
        return place

    def loop(workers: int) -> float:
        began = time.perf_counter()
        for _ in ahead(make, range(10), workers):
            time.sleep(0.03)
        return time.perf_counter() - began

    assert loop(2) < 0.8 * loop(0)


def test_one_that_hangs_is_given_up_and_named() -> None:
    let_go = threading.Event()

    def make(place: int) -> int:
        if place == 4:
            let_go.wait()
        return place

    stream, seen = ahead(make, range(10), 2, lambda place: f"place {place}", longest_s=0.2), list[int]()
    with pytest.raises(CeibaError, match=r"within 0\.2 s\. Got none of place 4"):
        seen.extend(stream)
    assert seen == [0, 1, 2, 3]
    let_go.set()


def test_a_timeout_that_making_raises_is_its_own() -> None:
    def make(place: int) -> int:
        raise TimeoutError(f"no answer for {place}")

    with pytest.raises(TimeoutError, match="no answer for 0"):
        next(ahead(make, range(3), 2))
