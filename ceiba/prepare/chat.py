"""Arrays of chats: the conversations of a column in tokens, several of them in a row where they find room."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields import ChatField, Encoded, Spoken, places, ragged
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

    def spoken(batch: pa.RecordBatch) -> list[Spoken]:
        try:
            return field.spoken(batch.column(0))
        except DataError as error:
            raise error.at(f"column '{name}'") from error

    with ExitStack() as stack:
        writers: dict[str, Writer] = {}
        for found in in_slices(frame, (name,), SLICE_ROWS, spoken):
            kept = [one for one in found if len(one.ids)]
            rows = packed(np.array([len(one.ids) for one in kept], dtype=np.int64), field.max_tokens)
            rows = rows if field.pack else [[place] for place in range(len(kept))]
            for part, values in in_rows([[kept[place] for place in row] for row in rows], name, field.pack).items():
                if part not in writers:
                    writers[part] = stack.enter_context(Writer(folder, f"{len(writers):04d}", values))
                writers[part].write(values)
            num_rows += len(rows)
            counts["chats"] += len(found)
            counts["cut"] += sum(one.is_cut for one in found)
            counts["left_out"] += len(found) - len(kept)
            counts["learnt"] += sum(int(np.count_nonzero(one.targets)) for one in kept)
    if not num_rows:
        do = "Raise max_tokens, or check the roles: answers are the assistant's"
        raise DataError(f"{frame.origin} column '{name}' must hold an answer to learn", "none", do)
    write_index(folder, num_rows, writers, counts=counts)


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
