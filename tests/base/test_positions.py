"""Rows by their positions and by a bit each."""

import numpy as np
import pytest

from ceiba.base.positions import Marked, positions

ROWS = [0, 3, 7, 8, 9, 15, 16, 40]


def test_positions_take_four_bytes_each() -> None:
    assert positions(1000).tolist() == list(range(1000))
    assert positions(1000).dtype == np.int32


@pytest.mark.parametrize("length", [41, 48, 49, 100])
def test_marked_rows_take_a_bit_each_and_come_back(length: int) -> None:
    marked = Marked.of(np.array(ROWS), length)
    assert marked.positions().tolist() == ROWS
    assert marked.bits.nbytes == -(-length // 8)


@pytest.mark.parametrize(("start", "stop"), [(0, 41), (0, 8), (8, 16), (3, 10), (7, 9), (9, 9), (17, 41)])
def test_a_stretch_tells_of_each_of_its_rows(start: int, stop: int) -> None:
    found = Marked.of(np.array(ROWS), 41).between(start, stop)
    assert found.tolist() == [row in ROWS for row in range(start, stop)]


@pytest.mark.parametrize("rows", [[1, 1], [2, 1], [-1, 2], [1, 41]])
def test_only_rising_positions_of_rows_that_exist_are_marked(rows: list[int]) -> None:
    with pytest.raises(AssertionError):
        Marked.of(np.array(rows), 41)


def test_blocks_hold_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ceiba.base.positions.BLOCK_ROWS", 9)
    blocks = list(Marked.of(np.array(ROWS), 41).blocks())
    assert [block.tolist() for block in blocks] == [[0, 3, 7, 8], [9, 15, 16], [], [], [40]]
    assert Marked.of(np.array(ROWS), 41).positions().dtype == np.int32


def test_no_row_may_be_marked() -> None:
    assert Marked.of(np.array([], dtype=np.int64), 0).positions().tolist() == []
