"""Positions → parts: at random, with classes spread evenly, by time, by whole groups."""

from collections.abc import Iterator

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

Codes = NDArray[np.int64]
Parts = NDArray[np.int8]


def assign(length: int, shares: tuple[float, float], group: Codes | None, together: bool, seed: int) -> Parts:
    """A part for each of `length` rows; `shares` are those of (valid, test).

    With `together`, rows of one group stay in one part. Otherwise each group is spread over the parts in proportion,
    and its first row, by chance, is trained on, so that no class is met for the first time in the test.
    """
    if group is not None and together and length:
        return _whole_groups(group, shares, seed)
    order, first = _shuffled(length, group, seed)
    parts = np.zeros(length, dtype=np.int8)
    free = order[~first]
    parts[free] = _dealt(len(free), shares, length)
    return parts


def spread(length: int, folds: int, group: Codes | None, together: bool, seed: int) -> Codes:
    """A fold for each row; classes are spread evenly, or groups are kept together."""
    if group is not None and together:
        ends, codes = _group_ends(group, seed)
        number = np.minimum((ends - 1) * folds // length, folds - 1)
        if len(np.unique(number)) < folds:
            number = np.minimum(np.arange(len(ends)) * folds // len(ends), folds - 1)
        return number[codes]
    order, _ = _shuffled(length, group, seed)
    fold = np.empty(length, dtype=np.int64)
    fold[order] = np.arange(length) % folds
    return fold


def _shuffled(length: int, group: Codes | None, seed: int) -> tuple[Codes, NDArray[np.bool_]]:
    """Rows in a random order, group after group, and which are the first of their group."""
    order = permutation(length, seed, "split")
    if group is None:
        return order, np.arange(length) == 0
    order = order[np.argsort(group[order], kind="stable")]
    sorted_group = group[order]
    return order, np.concatenate([np.ones(min(length, 1), dtype=np.bool_), sorted_group[1:] != sorted_group[:-1]])


def _dealt(length: int, shares: tuple[float, float], total: int) -> Parts:
    """Parts dealt out at even distances, so that any run of rows has nearly the right share of each."""
    parts = np.zeros(length, dtype=np.int8)
    free = np.arange(length)
    for code, share in ((TEST, shares[1]), (VALID, shares[0])):
        count = min(max(round(share * total), 1 if share > 0 else 0), len(free))
        chosen = ((np.arange(count) + 0.5) * (len(free) / max(count, 1))).astype(np.int64)
        parts[free[chosen]] = code
        free = np.delete(free, chosen)
    return parts


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
