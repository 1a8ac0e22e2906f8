"""Hashes: equal values alike, different ones apart, however they are typed, cut and stored."""

import numpy as np
import pyarrow as pa
import pytest

from ceiba.clean import hash_rows, hash_values, hashing


def test_no_rows() -> None:
    for kind in (pa.string(), pa.binary(), pa.int64(), pa.float32(), pa.null(), pa.list_(pa.int64()), pa.bool_()):
        assert len(hash_values(pa.array([], kind))) == 0


def test_many_values_never_collide() -> None:
    texts = pa.array([f"{place}" for place in range(100_000)] + [f"{place} " for place in range(100_000)])
    assert len(np.unique(hash_values(texts))) == 200_000
    assert len(np.unique(hash_values(texts.cast(pa.binary())))) == 200_000
    assert len(np.unique(hash_values(pa.array(np.arange(100_000) * 2.0**40)))) == 100_000
    assert len(np.unique(hash_values(pa.array(np.linspace(0, 1, 100_000))))) == 100_000


def test_whole_numbers_alike_in_every_type() -> None:
    values = [0, -3, 39, 2**40]
    expected = hash_values(pa.array(values))
    assert (hash_values(pa.array(values, pa.float64())) == expected).all()
    assert (hash_values(pa.array([-0.0, -3, 39, 2**40])) == expected).all()
    assert hash_values(pa.array([39], pa.uint8()))[0] == expected[2]
    large = pa.array([2**53, 2**53 + 1])
    assert len(np.unique(hash_values(large))) == 2


def test_text_alike_in_every_form_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["", "a", "b", None, "aa", "ab", "ba", "größe", "x" * 1000, "y" * 70_000, "", None, "a\0", "\0a"] * 3
    whole = pa.array(values)
    expected = hash_values(whole)
    assert len(np.unique(expected)) == 12
    assert (hash_values(whole.cast(pa.binary())) == expected).all()
    assert (hash_values(whole.dictionary_encode()) == expected).all()
    pieces = [hash_values(whole.slice(start, 5)) for start in range(0, len(whole), 5)]
    assert (np.concatenate(pieces) == expected).all()
    for size in (1, 7, 4096):
        monkeypatch.setattr(hashing, "BLOCK_BYTES", size)
        assert (hash_values(whole.cast(pa.binary())) == expected).all()


def test_missing_is_not_zero_and_not_empty() -> None:
    for column in (
        pa.array([0, None]),
        pa.array([0.0, None]),
        pa.array(["", None]),
        pa.array([[], None], pa.list_(pa.int64())),
    ):
        first, second = hash_values(column)
        assert first != second
        assert second == hash_values(pa.array([None]))[0]


def test_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 13), dtype=np.uint8)
    pixels[50] = pixels[3]
    pixels[51] = pixels[3][::-1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 13)
    expected = hash_values(column)
    assert len(np.unique(expected)) == 99
    assert expected[50] == expected[3]
    monkeypatch.setattr(hashing, "BLOCK_BYTES", 40)
    assert (hash_values(column) == expected).all()
    assert (hash_values(column.slice(7, 50)) == expected[7:57]).all()


def test_lists_by_content_and_order() -> None:
    column = pa.array([[1, 2], [2, 1], [1], [], [1, 2], [[1], []][0]])
    hashes = hash_values(column)
    assert hashes[0] == hashes[4]
    assert len(np.unique(hashes)) == 4
    fixed = pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 3, 4, 1, 2], pa.uint8()), 2)
    hashes = hash_values(fixed)
    assert hashes[0] == hashes[2] != hashes[1]
    assert (hash_values(fixed.slice(1)) == hashes[1:]).all()


def test_lists_with_missing_rows_keep_their_places() -> None:
    column = pa.array([[1], None, [2], None, [1]])
    hashes = hash_values(column)
    assert hashes[0] == hashes[4] != hashes[2]
    fixed = pa.array([[1, 2], None, [3, 4], [1, 2]], pa.list_(pa.int64(), 2))
    hashes = hash_values(fixed)
    assert hashes[0] == hashes[3] != hashes[2]


def test_dates_and_times() -> None:
    for kind in (pa.timestamp("us"), pa.date32(), pa.time32("s"), pa.duration("ns")):
        hashes = hash_values(pa.array([1, 2, 1, None], pa.int64() if kind.bit_width == 64 else pa.int32()).cast(kind))
        assert hashes[0] == hashes[2] != hashes[1]


def test_rows_differ_by_column_order_and_by_one_cell() -> None:
    one = pa.record_batch({"a": [1, 1, 2], "b": ["x", "y", "x"]})
    swapped = pa.record_batch({"a": [1, 2], "b": [2, 1]})
    assert len(np.unique(hash_rows(one))) == 3
    assert len(np.unique(hash_rows(swapped))) == 2


def test_hashes_do_not_change_between_versions() -> None:
    assert [int(word) for word in hash_values(pa.array(["ceiba", None]))] == EXPECTED
    assert int(hash_values(pa.array([39]))[0]) == EXPECTED_NUMBER


EXPECTED = [6623092147541394239, 6364136223846793005]
EXPECTED_NUMBER = 14873797093642526444


def test_objects_hash_by_their_parts() -> None:
    kind = pa.struct([("text", pa.string()), ("start", pa.int64())])
    rows = [
        {"text": "a", "start": 1},
        {"text": "a", "start": 2},
        {"text": "b", "start": 1},
        None,
        {"text": "a", "start": 1},
    ]
    hashes = hash_values(pa.array(rows, kind))
    assert hashes[0] == hashes[4]
    assert len(set(hashes.tolist())) == 4
    lists = hash_values(pa.array([rows[:1], rows[:2], [], rows[4:]], pa.list_(kind)))
    assert lists[0] == lists[3]
    assert len(set(lists.tolist())) == 3
