"""Held-out texts that training texts already hold in part: figures on them are too good."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.clean.hashing import hash_values, mix
from ceiba.evaluate.inputs import is_chinese
from ceiba.fields import as_text, joined
from ceiba.read import Frame, are_lines

WORDS, CHARACTERS = 13, 50
"""Length of a run that does not recur by chance: in words, or in characters where blanks do not part words."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


def overlaps(train: Frame, held: Mapping[str, Frame], name: str) -> dict[str, tuple[int, int]]:
    """Split → how many of its texts share a run of words with the training texts, and how many are long enough to.

    Of the lines of one text, chunks are counted. The training texts are passed once; memory holds the held-out runs.
    Source: Brown et al. 2020, arXiv:2005.14165, appendix C.
    """
    by_character = is_chinese([text for chunk in _texts(train, name, 1) for text in chunk.to_pylist()])
    runs = {split: [runs_of(chunk, by_character) for chunk in _texts(frame, name)] for split, frame in held.items()}
    wanted = np.unique(np.concatenate([np.zeros(0, np.uint64), *(one for part in runs.values() for one, _ in part)]))
    seen = np.zeros(len(wanted), dtype=bool)
    for chunk in _texts(train, name) if len(wanted) else ():
        found, _ = runs_of(chunk, by_character)
        places = np.minimum(np.searchsorted(wanted, found), len(wanted) - 1)
        seen[places[wanted[places] == found]] = True
    known = wanted[seen]
    counts = {}
    for split, parts in runs.items():
        shared = sum(len(np.unique(rows[np.isin(found, known)])) for found, rows in parts)
        counts[split] = (shared, sum(len(np.unique(rows)) for _, rows in parts))
    return counts


def contamination_notes(train: Frame, held: Mapping[str, Frame], name: str) -> tuple[str, ...]:
    """What the user should know of held-out texts that training has met."""
    return tuple(
        f"{split}: {shared:,} of {total:,} {'parts' if are_lines(train, name) else 'texts'} of '{name}' share a run of "
        f"{WORDS} words (or {CHARACTERS} characters) with the training text: figures on them are too good"
        for split, (shared, total) in overlaps(train, held, name).items()
        if shared
    )


def _texts(frame: Frame, name: str, most: int | None = None) -> Iterator[pa.Array]:
    column = frame.column(name)
    chunks = joined(column) if are_lines(frame, name) else iter(column)
    for place, chunk in enumerate(chunks):
        if most is not None and place >= most:
            return
        yield pc.utf8_lower(pc.fill_null(as_text(chunk), ""))


def runs_of(texts: pa.Array, by_character: bool) -> tuple[Hashes, NDArray[np.int64]]:
    """A hash of every run of words (or characters) of each text, and which text it is of."""
    length = CHARACTERS if by_character else WORDS
    parts = [list(text) if by_character else text.split() for text in texts.to_pylist()]
    units = hash_values(pa.array([unit for part in parts for unit in part], pa.string()))
    rows = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    count = max(len(units) - length + 1, 0)
    hashes = np.zeros(count, dtype=np.uint64)
    for place in range(length):
        hashes = mix(hashes * MULTIPLIER + units[place : place + count])
    within = rows[:count] == rows[length - 1 : length - 1 + count]
    return hashes[within], rows[:count][within]
