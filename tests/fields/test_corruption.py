"""Spans that are left out: against the rule row by row, what restores them, and that no place is preferred."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ceiba.base.errors import RecipeError
from ceiba.base.keys import uniform
from ceiba.fields import TEACHER, Corruption, Pieces, TextSpec, TokenField
from ceiba.fields.pieces import restored

FIRST = 1000
Rows = list[list[int]]
rows_of_tokens = st.lists(st.lists(st.integers(2, FIRST - 1), max_size=30), min_size=1, max_size=6)
ways = st.builds(Corruption, st.floats(0.01, 0.95), st.floats(1.0, 8.0), st.just(FIRST))


def padded(rows: Rows, wider: int = 0) -> np.ndarray:
    found = np.zeros((len(rows), max(1, *map(len, rows)) + wider), dtype=np.int32)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found


def lists(found: tuple[object, object]) -> list[tuple[list[int], list[int]]]:
    left, told = ([one.take(np.array([row])).values.tolist() for row in range(len(one))] for one in found)
    return list(zip(left, told, strict=True))


def by_hand(row: list[int], draws: list[float], how: Corruption) -> tuple[list[int], list[int]]:
    """One row by the rule: the gaps between kept tokens, and the cuts between lost ones, of the smallest numbers."""
    if len(row) < 2:
        return row, []
    lost = min(max(int(len(row) * how.rate + 0.5), 1), len(row) - 1)
    spans = min(max(int(lost / how.span + 0.5), 1), lost, len(row) - lost + 1)
    gaps = sorted(range(len(row) - lost + 1), key=lambda place: draws[2 * place])[:spans]
    cuts = sorted(range(lost - 1), key=lambda place: draws[2 * place + 1])[: spans - 1]
    lengths = [stop - start for start, stop in pairwise([0, *(cut + 1 for cut in sorted(cuts)), lost])]
    rest, left, told = list(row), [], []
    for kept in range(len(row) - lost + 1):
        if kept in gaps:
            number = sorted(gaps).index(kept)
            left.append(how.first + number)
            told += [how.first + number, *rest[: lengths[number]]]
            rest = rest[lengths[number] :]
        left += rest[:1]
        rest = rest[1:]
    return left, [*told, how.first + spans]


@given(rows_of_tokens, ways, st.integers(0, 99), st.integers(0, 5))
def test_all_rows_at_once_are_each_row_by_the_rule(rows: Rows, how: Corruption, seed: int, wider: int) -> None:
    ids = padded(rows, wider)
    draws = uniform(np.arange(len(rows)), how.draws(ids), seed)
    expected = [by_hand(row, draws[place].tolist(), how) for place, row in enumerate(rows)]
    assert lists(how(ids, draws)) == expected


@given(rows_of_tokens, ways, st.integers(0, 99))
def test_what_is_left_and_what_is_told_are_the_row(rows: Rows, how: Corruption, seed: int) -> None:
    ids = padded(rows)
    longest = max(map(len, rows))
    for row, (left, told) in zip(
        rows, lists(how(ids, uniform(np.arange(len(rows)), how.draws(ids), seed))), strict=True
    ):
        if len(row) < 2:
            assert (left, told) == (row, [])
            continue
        marks = [place for place, one in enumerate(told) if one >= FIRST]
        assert [told[place] for place in marks] == list(range(FIRST, FIRST + len(marks)))
        assert marks[-1] == len(told) - 1
        spans = {told[start]: told[start + 1 : stop] for start, stop in pairwise(marks)}
        assert all(spans.values())
        assert [one for token in left for one in spans.get(token, [token])] == row
        assert not any(first >= FIRST and second >= FIRST for first, second in pairwise(left)), "spans do not touch"
        lost = sum(map(len, spans.values()))
        assert abs(lost - how.rate * len(row)) <= 0.5 or lost in (1, len(row) - 1)
        assert abs(len(spans) - lost / how.span) <= 0.5 or len(spans) in (1, len(row) - lost + 1)
        assert max(told) < FIRST + how.sentinels(longest)
        assert len(told) <= how.most(longest)


def test_all_ways_to_leave_out_as_much_are_equally_likely() -> None:
    """Two spans of three tokens in all, of seven: in which tokens are lost, and which of them begin a span."""
    how, count = Corruption(0.4, 1.5, FIRST), 30_000
    ids = np.tile(np.arange(2, 9, dtype=np.int32), (count, 1))
    left, told = how(ids, uniform(np.arange(count), how.draws(ids), 3))
    met = Counter(map(bytes, np.concatenate([left.pad(), told.pad()], 1)))
    ways = [
        lost for lost in combinations(range(7), 3)
        if sum(second - first > 1 for first, second in pairwise(lost)) == 1
    ]  # fmt: skip
    assert len(met) == len(ways) == 20
    chi_square = sum((found - count / 20) ** 2 / (count / 20) for found in met.values())
    assert chi_square < 43.8, "of 19 degrees of freedom, once in a thousand"


def test_a_row_is_measured_alike_alone_among_longer_ones_and_in_any_column() -> None:
    how, row = Corruption(0.15, 3.0, FIRST), np.arange(2, 42, dtype=np.int32)
    other = row[::-1].copy()
    alone, among = restored([row], 64, how), restored([other, np.tile(row, 3), row[:0], row], 64, how)
    for name in ("ids", TEACHER):
        first, last = alone[name], among[name]
        assert isinstance(last, Pieces)
        assert first.take(np.array([0])).values.tolist() == last.take(np.array([len(last) - 1])).values.tolist()
        assert last.owners.tolist() == [0, 1, 1, 3]
        assert last.num_rows == 4
    reversed_ids = among["ids"].take(np.array([0])).values
    assert [one >= FIRST for one in reversed_ids] != [one >= FIRST for one in alone["ids"].values], (
        "another row, others"
    )
    total = among[TEACHER].add_up((among[TEACHER].lengths).astype(np.float32))
    assert total.tolist() == [how.most(40), how.most(64) + how.most(56), 0, how.most(40)]


def test_a_text_has_sentinels_behind_its_tokens_and_keeps_them() -> None:
    column = pa.array(["to be or not to be", "that is the question"])
    spec = TextSpec(tokenizer={"type": "character", "special": ("[END]",)}, whole=True, max_tokens=40)
    plain = spec.fit([column])
    one = spec.model_copy(update={"corrupted": (0.3, 2.0)}).fit([column])
    assert isinstance(one, TokenField)
    assert isinstance(plain, TokenField)
    assert one.corrupted == Corruption(0.3, 2.0, plain.vocab)
    assert one.vocab == plain.vocab + one.corrupted.sentinels(40) == plain.vocab + 7
    assert one.hides
    again = TokenField.from_json(one.to_json(), one.files())
    assert again == one
    parts = one.encode(column)
    assert set(parts) == {"ids", TEACHER}
    left = one.decode(parts["ids"].take(np.array([0])).values)
    assert len(left) == len("to be or not to be") - 6, "sentinels spell nothing"
    read = spec.model_copy(update={"whole": False, "max_tokens": 9}).on(one)
    assert (read.corrupted, read.vocab, read.max_tokens) == (None, one.vocab, 9)
    more = spec.model_copy(update={"corrupted": (0.5, 1.0)}).on(one)
    assert more.corrupted is not None
    assert more.corrupted.first == plain.vocab
    assert more.vocab == plain.vocab + more.corrupted.sentinels(40)
    with pytest.raises(RecipeError, match="needs a token that ends it"):
        TextSpec(tokenizer="character", whole=True, corrupted=(0.3, 2.0)).fit([column])
