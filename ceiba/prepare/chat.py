"""Arrays of chats: the conversations of a column in tokens, several of them in a row where they find room."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields import ChatField, Encoded, Spoken, places, ragged, side_by_side
from ceiba.prepare.mapped import PART, TARGET, Writer, in_slices, write_index
from ceiba.read import Frame

SLICE_ROWS = 2048
"""Conversations among which those are looked for that fill a row together."""


def build_chats(folder: Path, frame: Frame, name: str, field: ChatField) -> None:
    """Write the arrays of a column of chats; those without an answer in what is read of them are left out.

    Raises: DataError for a row that is no chat, or a column without an answer.
    """
    counts = dict.fromkeys(("chats", "cut", "left_out", "learnt"), 0)
    num_rows = 0

    def spoken(batch: pa.RecordBatch) -> list[tuple[Spoken, ...]]:
        """Each row's conversation, or its two."""
        try:
            column = batch.column(0)
            return list(field.spoken_pairs(column)) if field.pairs else [(one,) for one in field.spoken(column)]
        except DataError as error:
            raise error.at(f"column '{name}'") from error

    with ExitStack() as stack:
        writers: dict[str, Writer] = {}
        for found in in_slices(frame, (name,), SLICE_ROWS, spoken):
            kept = [one for one in found if len(one[0].ids)]
            rows = in_pairs(kept, name) if field.pairs else in_rows(_together(kept, field), name, field.pack)
            for part, values in rows.items():
                if part not in writers:
                    writers[part] = stack.enter_context(Writer(folder, f"{len(writers):04d}", values))
                writers[part].write(values)
            num_rows += len(rows[TARGET + name])
            counts["chats"] += len(found)
            counts["cut"] += sum(any(part.is_cut for part in one) for one in found)
            counts["left_out"] += len(found) - len(kept)
            counts["learnt"] += sum(int(np.count_nonzero(part.targets)) for one in kept for part in one)
    if not num_rows:
        do = "Raise max_tokens, or check the roles: answers are the assistant's"
        raise DataError(f"{frame.origin} column '{name}' must hold an answer to learn", "none", do)
    write_index(folder, num_rows, writers, counts=counts)


def _together(kept: Sequence[tuple[Spoken, ...]], field: ChatField) -> list[list[Spoken]]:
    """The conversations of each row."""
    if not field.pack:
        return [list(one) for one in kept]
    rows = packed(np.array([len(one.ids) for (one,) in kept], dtype=np.int64), field.max_tokens)
    return [[kept[place][0] for place in row] for row in rows]


def in_pairs(pairs: Sequence[tuple[Spoken, ...]], name: str) -> Encoded:
    """Rows of two conversations as arrays, as they are encoded elsewhere too; that the first is the better one is known
    of all."""
    parts = side_by_side([(better, worse) for better, worse in pairs])
    found: Encoded = {f"{PART}{name}.{part}": values for part, values in parts.items()}
    return found | {TARGET + name: np.zeros(len(pairs), np.int64)}


def in_rows(rows: Sequence[Sequence[Spoken]], name: str, pack: bool) -> Encoded:
    """Rows of conversations as arrays: ids, targets and, where a row may hold several, positions."""
    ids = [[one.ids for one in row] for row in rows]
    found: Encoded = {f"{PART}{name}.ids": ragged([np.concatenate(row) for row in ids])}
    if pack:
        found[f"{PART}{name}.positions"] = ragged([places(row) for row in ids])
    return found | {TARGET + name: ragged([np.concatenate([one.targets for one in row]) for row in rows])}


def packed(lengths: NDArray[np.int64], width: int) -> list[list[int]]:
    """Which of these go into a row together: the longest first, each where it leaves the least room (best fit
    decreasing). Source: Krell et al. 2021, arXiv:2107.02027, section 3.1."""
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (tokens that are free, row), ascending
    for one in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[one])
        place = bisect_left(rooms, (length, 0))
        if place == len(rooms):
            rows.append([])
            room, row = width, len(rows) - 1
        else:
            room, row = rooms.pop(place)
        rows[row].append(one)
        insort(rooms, (room - length, row))
    return rows
