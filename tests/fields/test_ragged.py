"""Rows of different lengths."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ceiba.fields import Ragged


def ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([value for row in rows for value in row], np.int32)
    return Ragged(values, np.cumsum([0, *map(len, rows)]).astype(np.int64))


def test_no_rows_and_empty_rows_pad_to_one_column() -> None:
    assert ragged([]).pad().shape == (0, 1)
    assert ragged([[], []]).pad().tolist() == [[0], [0]]
    assert ragged([[]]).pad(multiple=4).shape == (1, 4)


def test_padding_cuts_at_a_given_length_and_fills_up_to_a_multiple() -> None:
    rows = ragged([[1, 2, 3], [], [4]])
    assert rows.pad().tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert rows.pad(2).tolist() == [[1, 2], [0, 0], [4, 0]]
    assert rows.pad(2, multiple=4).tolist() == [[1, 2, 0, 0], [0, 0, 0, 0], [4, 0, 0, 0]]
    assert rows.pad().dtype == np.int32


@given(st.lists(st.lists(st.integers(1, 9), max_size=5), max_size=6), st.data())
def test_taken_rows_are_those_rows_in_that_order(rows: list[list[int]], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    taken = ragged(rows).take(np.array(places, np.int64))
    assert [taken.values[a:b].tolist() for a, b in zip(taken.offsets, taken.offsets[1:], strict=False)] == [
        rows[place] for place in places
    ]
    assert taken.lengths.tolist() == [len(rows[place]) for place in places]
    assert len(taken) == len(places)


def test_memory_mapped_read_only_values_are_taken(tmp_path) -> None:
    np.save(tmp_path / "values.npy", np.arange(6, dtype=np.int32))
    rows = Ragged(np.load(tmp_path / "values.npy", mmap_mode="r"), np.array([0, 2, 6]))
    assert rows.take(np.array([1])).values.tolist() == [2, 3, 4, 5]
    assert rows.pad().tolist() == [[0, 1, 0, 0], [2, 3, 4, 5]]
