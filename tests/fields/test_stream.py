"""Texts as streams of tokens, windows on them, and long rows in pieces."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceiba.fields import TextSpec, TokenField, Windows, in_pieces, measured_rows, stream
from ceiba.fields.stream import CHUNK_CHARACTERS


def field(tokenizer: object = "character", **options: object) -> TokenField:
    column = pa.array(["To be, or not to be:\nthat is the question\n", "日本 é"])
    found = TextSpec(tokenizer=tokenizer, whole=True, **options).fit([column])
    assert isinstance(found, TokenField)
    return found


def tokens(one: TokenField, columns: list[pa.Array], lines: bool) -> list[int]:
    return [int(token) for ids, _ in stream(one, columns, lines) for token in ids]


@pytest.mark.parametrize("tokenizer", ["character", "byte", "bpe"])
def test_lines_are_joined_by_their_ends_however_they_are_cut_into_arrays(tokenizer: str) -> None:
    one, lines = field(tokenizer), ["to be", "", "that is", "é日"]
    whole = tokens(one, [pa.array(lines)], lines=True)
    assert one.decode(whole) == "to be\n\nthat is\né日\n"
    assert tokens(one, [pa.array(lines[:1]), pa.array(lines[1:])], lines=True) == whole
    assert sum(size for _, size in stream(one, [pa.array(lines)], True)) == len("to be\n\nthat is\né日\n".encode())


def test_a_long_text_is_tokenized_in_chunks_that_lose_nothing() -> None:
    one, lines = field("byte"), ["to be or not"] * (CHUNK_CHARACTERS // 5)
    parts = [ids for ids, _ in stream(one, [pa.array(lines)], True)]
    assert len(parts) == 3
    assert one.decode(np.concatenate(parts)) == "\n".join(lines) + "\n"


def test_each_text_stands_behind_the_token_that_ends_the_one_before() -> None:
    one = field({"type": "byte", "special": ["[END]"]})
    end = one.special["end"]
    found = tokens(one, [pa.array(["a", None, "b"])], lines=False)
    assert found == [end, *one.token_ids(["a"])[0], end, end, *one.token_ids(["b"])[0], end]


@given(st.integers(2, 30), st.integers(1, 7))
def test_windows_hold_every_token_once_as_a_target(length: int, width: int) -> None:
    ids = np.arange(1, length + 1, dtype=np.uint16)
    count = -(-(length - 1) // width)
    inputs, targets = (Windows(ids, width, count, start)[np.arange(count)] for start in (0, 1))
    assert targets[targets > 0].tolist() == ids[1:].tolist()
    assert (inputs[targets > 0] + 1 == targets[targets > 0]).all()
    assert Windows(ids, width, count, 1).is_full == ((length - 1) % width == 0)


@given(st.lists(st.integers(0, 20), max_size=5), st.integers(1, 6))
def test_pieces_predict_every_token_of_a_row_but_its_first(lengths: list[int], width: int) -> None:
    rows = [np.arange(length, dtype=np.int32) + 10 * place for place, length in enumerate(lengths)]
    pieces = in_pieces(rows, width)
    assert (pieces.lengths <= width + 1).all()
    predicted: list[list[int]] = [[] for _ in rows]
    for place, owner in enumerate(pieces.owners):
        predicted[owner] += pieces.values[pieces.offsets[place] : pieces.offsets[place + 1]][1:].tolist()
    assert predicted == [row[1:].tolist() for row in rows]
    assert pieces.add_up(pieces.lengths - 1).tolist() == [max(length - 1, 0) for length in lengths]


def test_windows_that_are_measured_meet_each_token_of_a_text_once() -> None:
    one, lines = field(max_tokens=4), ["to be", "or not", "", "that is the question"]
    rows = [row for part in measured_rows(one, [pa.array(lines)], lines=True) for row in part]
    whole = tokens(one, [pa.array(lines)], lines=True)
    assert [int(token) for row in rows for token in row[1:]] == whole[1:]
    assert {len(row) for row in rows[:-1]} == {5}


def test_a_text_read_whole_is_not_cut() -> None:
    one = field(max_tokens=5)
    ids = one.encode(pa.array(["to be or not to be", "", "t"]))["ids"]
    assert ids.num_rows == 3
    assert ids.add_up(np.diff(ids.offsets) - 1).tolist() == [17, 0, 0]
