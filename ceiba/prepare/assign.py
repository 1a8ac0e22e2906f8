"""Positions → parts: at random, with classes spread evenly, by time, by whole groups."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.base.keys import permutation
from ceiba.clean.hashing import hash_values, mix
from ceiba.fields.date import DateSpec
from ceiba.fields.instants import as_instants
from ceiba.read import Column

TRAIN, VALID, TEST = 0, 1, 2

BLOCK_ROWS = 1 << 16
"""Rows shuffled among themselves at a time."""

Codes = NDArray[Any]
"""Whole numbers, as narrow as they may be."""
Parts = NDArray[np.int8]


def assign(length: int, shares: tuple[float, float], group: Codes | None, together: bool, seed: int) -> Parts:
    """A part for each of `length` rows; `shares` are those of (valid, test). 1 byte a row.

    With `together`, rows of one group stay in one part. Otherwise each group is spread over the parts in proportion,
    and its first row, by chance, is trained on, so that no class is met for the first time in the test.
    """
    if group is not None and together and length:
        return _whole_groups(group, shares, seed)
    firsts = min(length, 1) if group is None else len(np.unique(group))
    test = _Dealer(shares[1], length, length - firsts)
    valid = _Dealer(shares[0], length, length - firsts - test.count)
    parts = np.zeros(length, dtype=np.int8)
    for rows, is_first in _shuffled(length, group, seed):
        free = rows[~is_first]
        is_test = test.deal(len(free))
        parts[free[is_test]] = TEST
        rest = free[~is_test]
        parts[rest[valid.deal(len(rest))]] = VALID
    return parts


def spread(length: int, folds: int, group: Codes | None, together: bool, seed: int) -> NDArray[np.int16]:
    """A fold for each row; classes are spread evenly, or groups are kept together."""
    if group is not None and together:
        ends, codes = _group_ends(group, seed)
        number = np.minimum((ends - 1) * folds // length, folds - 1)
        if len(np.unique(number)) < folds:
            number = np.minimum(np.arange(len(ends)) * folds // len(ends), folds - 1)
        return np.asarray(number[codes], dtype=np.int16)
    fold, done = np.empty(length, dtype=np.int16), 0
    for rows, _ in _shuffled(length, group, seed):
        fold[rows] = np.arange(done, done + len(rows)) % folds
        done += len(rows)
    return fold


def _shuffled(length: int, group: Codes | None, seed: int) -> Iterator[tuple[Codes, NDArray[np.bool_]]]:
    """Blocks of rows in a random order, group after group, and which are the first of their group."""
    met: set[int] = set()
    for start in range(0, length, BLOCK_ROWS):
        rows = start + permutation(min(BLOCK_ROWS, length - start), seed, "split", start)
        if group is None:
            yield rows, rows == rows[0] if start == 0 else np.zeros(len(rows), dtype=np.bool_)
            continue
        rows = rows[np.argsort(group[rows], kind="stable")]
        known, places = np.unique(group[rows], return_index=True)
        new = [place for code, place in zip(known.tolist(), places.tolist(), strict=True) if code not in met]
        met.update(known.tolist())
        is_first = np.zeros(len(rows), dtype=np.bool_)
        is_first[new] = True
        yield rows, is_first


class _Dealer:
    """Chooses a share of a run of rows at even distances, so that any stretch of it has nearly the right share."""

    def __init__(self, share: float, total: int, free: int):
        self.count = min(max(round(share * total), 1 if share > 0 else 0), free)
        self.distance = free / max(self.count, 1)
        self.done = 0

    def deal(self, length: int) -> NDArray[np.bool_]:
        """Which of the next rows are chosen."""
        chosen = np.zeros(length, dtype=np.bool_)
        if self.count and length:
            first = max(int(self.done / self.distance - 0.5) - 1, 0)
            last = min(int((self.done + length) / self.distance + 0.5) + 1, self.count)
            places = ((np.arange(first, last) + 0.5) * self.distance).astype(np.int64) - self.done
            chosen[places[(places >= 0) & (places < length)]] = True
        self.done += length
        return chosen


def _group_ends(group: Codes, seed: int) -> tuple[Codes, Codes]:
    """Groups in an order by the keyed hash of each: rows up to the end of each, and each row's place in that order."""
    keyed = mix(group.view(np.uint64) ^ np.uint64(mix(np.array([seed], dtype=np.uint64))[0]))
    _, codes, counts = np.unique(keyed, return_inverse=True, return_counts=True)
    return np.cumsum(counts), codes


def _whole_groups(group: Codes, shares: tuple[float, float], seed: int) -> Parts:
    ends, codes = _group_ends(group, seed)
    sizes = np.diff(ends, prepend=0)
    middles = ends - sizes / 2
    test, valid = shares[1] * len(group), (shares[0] + shares[1]) * len(group)
    part = np.where(middles < test, TEST, np.where(middles < valid, VALID, TRAIN)).astype(np.int8)
    # with few or large groups a part may have got none: the largest is then trained on, the smallest ones held back
    if not (part == TRAIN).any():
        part[sizes.argmax()] = TRAIN
    for code, share in ((TEST, shares[1]), (VALID, shares[0])):
        spare = np.flatnonzero(np.bincount(part, minlength=3)[part] > 1)
        if share > 0 and not (part == code).any() and len(spare):
            part[spare[sizes[spare].argmin()]] = code
    return part[codes]


def group_codes(column: Column) -> Codes:
    """A 64-bit code of each row's group; rows without a group are one group."""
    hashes = [hash_values(chunk) for chunk in column]
    return np.concatenate(hashes).view(np.int64) if hashes else np.empty(0, dtype=np.int64)


def in_order(length: int, shares: tuple[float, float]) -> Parts:
    """The first rows for training, then those watched, the last for the test."""
    parts = np.full(length, TRAIN, dtype=np.int8)
    test, valid = (round(share * length) for share in (shares[1], sum(shares)))
    parts[length - valid :] = VALID
    parts[length - test :] = TEST
    return parts


def time_order(column: Column, kept: Codes, shares: tuple[float, float]) -> Parts:
    """The oldest rows for training, then those watched, the newest for the test; equal times stay together.

    Raises: DataError for values that are no dates, no numbers, or missing.
    """
    times = np.concatenate([*_times(column), np.empty(0)])[kept]
    if np.isnan(times).any():
        raise DataError(
            f"data.split by time needs a time in every row of '{column.name}'",
            "a missing one",
            "Use clean: [drop_missing]",
        )
    order = np.argsort(times, kind="stable")
    in_order = times[order]
    parts = np.zeros(len(kept), dtype=np.int8)
    changes = np.flatnonzero(np.diff(in_order)) + 1  # where a later time begins, a part may begin
    for code, share, behind in ((TEST, shares[1], 0.0), (VALID, shares[0], shares[1])):
        if share > 0 and len(changes):
            begin = changes[np.abs(changes - (1 - share - behind) * len(kept)).argmin()]
            later = order[begin:]
            parts[later[parts[later] == TRAIN]] = code
            changes = changes[changes < begin]
    return parts


def _times(column: Column) -> Iterator[NDArray[np.float64]]:
    """Times as numbers in their own order: microseconds for dates, the value for numbers."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        for chunk in column:
            yield chunk.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return
    try:
        form = DateSpec(bins=None).fit(column)
    except DataError as error:
        raise error.at(f"data.split.by: time, column '{column.name}'") from error
    for chunk in column:
        instants, _ = as_instants(chunk, form.format, form.unit, form.timezone)
        yield np.where(np.isnat(instants), np.nan, instants.astype(np.int64))
