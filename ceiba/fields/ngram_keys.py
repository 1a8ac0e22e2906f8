"""Texts → a 64-bit key for every n-gram of every text, by array arithmetic alone."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.fields.characters import HAN, MARK, WORD, code_points
from ceiba.fields.sample import mix

ROW_BITS, HASH_BITS = 12, 52
HASH_MASK = np.uint64((1 << HASH_BITS) - 1)
WORDS_FROM = np.uint64(1 << (HASH_BITS - 1))
"""Hashes below it are of characters, the others of words."""
BLOCK_BYTES = 1 << 20
STEP = np.uint64(0x9E3779B97F4A7C15)
BLANK_CODE = np.uint32(ord(" "))
MERGE_AT = 8_000_000
MOST_HELD = 8_000_000

Words = NDArray[np.uint64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


def key_blocks(
    texts: pa.Array, words: int, characters: tuple[int, int] | None, han: int
) -> Iterator[tuple[int, Words, Places]]:
    """Block by block: its rows, its distinct (row, n-gram) keys in ascending order, and how often each occurs.

    A key has the row within the block in its upper bits, and the n-gram's hash in its lower ones.
    """
    ends = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64))
    start = 0
    while start < len(texts):
        before = int(ends[start - 1]) if start else 0
        end = int(np.searchsorted(ends, before + BLOCK_BYTES, side="right"))
        end = min(max(end, start + 1), start + (1 << ROW_BITS))
        codes, classes, rows = code_points(texts[start:end])
        found = [np.zeros(0, np.uint64), *_word_keys(codes, classes, rows, words, han)]
        if characters is not None:
            found += _character_keys(codes, (classes == WORD) | (classes == MARK), rows, *characters)
        keys = np.sort(np.concatenate(found))
        first = np.flatnonzero(np.concatenate([np.ones(min(1, len(keys)), np.bool_), keys[1:] != keys[:-1]]))
        yield end - start, keys[first], np.diff(np.append(first, len(keys)))
        start = end


def _keyed(hashes: Words, rows: Places, purpose: int, is_words: bool) -> Words:
    salt = np.uint64(purpose * int(STEP) % 2**64)
    hashed = mix(hashes + salt) >> np.uint64(65 - HASH_BITS)
    return hashed | (WORDS_FROM if is_words else np.uint64(0)) | (rows.astype(np.uint64) << np.uint64(HASH_BITS))


def _character_keys(
    codes: NDArray[np.uint32], inside: Flags, rows: Places, shortest: int, longest: int
) -> Iterator[Words]:
    """Runs of characters that are all `inside` a word but for the outermost two; what is outside is one blank.

    Source: the analyzer "char_wb" of scikit-learn, sklearn/feature_extraction/text.py.
    """
    letters = np.where(inside, codes, BLANK_CODE).astype(np.uint64)
    hashes, valid, middle = letters, inside, inside
    for length in range(1, longest + 1):
        if length > 1:
            hashes = hashes[:-1] * STEP + letters[length - 1 :]
        if length == 2:
            valid, middle = inside[:-1] | inside[1:], inside[1:]
        elif length > 2:
            valid = middle[: len(hashes)]
            middle = valid & inside[length - 1 :]
        if length >= shortest:
            first = np.flatnonzero(valid)
            second = np.minimum(first + 1, len(rows) - 1)
            yield _keyed(hashes[first], np.where(inside[first], rows[first], rows[second]), length, False)


def _word_keys(
    codes: NDArray[np.uint32], classes: NDArray[np.uint8], rows: Places, words: int, han: int
) -> Iterator[Words]:
    """Runs of words; a Han character is a word, and runs of these alone have a length of their own."""
    hashes, places = _word_hashes(codes, classes)
    row, is_han = rows[places], classes[places] == HAN
    run, all_han, any_other = hashes, is_han, ~is_han
    for length in range(1, max(words, han) + 1):
        if length > 1:
            run = mix(run[:-1]) * STEP + hashes[length - 1 :]
            all_han = all_han[:-1] & is_han[length - 1 :]
            any_other = any_other[:-1] | ~is_han[length - 1 :]
        together = row[: len(run)] == row[length - 1 :]
        wanted = together & ((all_han & (length <= han)) | (any_other & (length <= words)))
        yield _keyed(run[wanted], row[: len(run)][wanted], length, True)


def _word_hashes(codes: NDArray[np.uint32], classes: NDArray[np.uint8]) -> tuple[Words, Places]:
    """The hash of each word and of each Han character, and where it starts."""
    in_word, is_han = classes == WORD, classes == HAN
    is_start = np.concatenate([in_word[:1], in_word[1:] & ~in_word[:-1]])
    letters, starts = np.flatnonzero(in_word), np.flatnonzero(is_start)
    first = np.searchsorted(letters, starts)
    within = np.arange(len(letters)) - np.repeat(first, np.diff(np.append(first, len(letters))))
    scrambled = mix(codes[letters].astype(np.uint64) + within.astype(np.uint64) * STEP)
    hashes = codes.astype(np.uint64)
    if len(starts):
        hashes[starts] = np.add.reduceat(scrambled, first)
    places = np.flatnonzero(is_start | is_han)
    return hashes[places], places


class DocumentCounts:
    """How many rows hold each n-gram, in bounded memory: of too many, those of fewest rows are forgotten."""

    def __init__(self, most_held: int = MOST_HELD, merge_at: int = MERGE_AT) -> None:
        self.most_held, self.merge_at = most_held, merge_at
        self.hashes, self.rows = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        self.waiting: list[Words] = []
        self.num_waiting = 0

    def add(self, hashes: Words) -> None:
        """Count hashes in, one for each row that holds it."""
        self.waiting.append(hashes)
        self.num_waiting += len(hashes)
        if self.num_waiting > self.merge_at:
            self._merge()

    def _merge(self) -> None:
        new, rows = np.unique(np.concatenate(self.waiting), return_counts=True)
        self.waiting, self.num_waiting = [], 0
        if not len(self.hashes):
            self.hashes, self.rows = new, rows
        else:
            both, place = np.unique(np.concatenate([self.hashes, new]), return_inverse=True)
            counts = np.bincount(place, np.concatenate([self.rows, rows]).astype(np.float64), len(both))
            self.hashes, self.rows = both, counts.astype(np.int64)
        while len(self.hashes) > self.most_held:
            kept = self.rows > self.rows.min()
            self.hashes, self.rows = self.hashes[kept], self.rows[kept]

    def most(self, most: int, min_rows: int) -> tuple[Words, NDArray[np.int64]]:
        """The hashes of most rows, ascending, and their rows."""
        if self.waiting:
            self._merge()
        kept = self.rows >= min_rows
        hashes, rows = self.hashes[kept], self.rows[kept]
        chosen = np.sort(np.argsort(-rows, kind="stable")[:most])
        return hashes[chosen], rows[chosen]
