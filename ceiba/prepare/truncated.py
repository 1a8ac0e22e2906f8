"""Texts that are longer than what is read of them."""

from ceiba.fields import ChatField, Fields, Ragged, TokenField
from ceiba.prepare.arrays import Arrays


def truncation_notes(arrays: Arrays, fields: Fields) -> tuple[str, ...]:
    """How many training texts fill their last place, so that anything beyond is not read."""
    notes = []
    for name, one in fields.inputs.items():
        if isinstance(one, ChatField):
            notes += _chat_notes(arrays, name, one)
            continue
        ids = arrays.parts.get(f"{name}.ids")
        if isinstance(one, TokenField) and isinstance(ids, Ragged):
            full = int((ids.lengths >= one.max_tokens).sum())
            if full:
                notes.append(
                    f"{full:,} of {arrays.num_rows:,} training texts of '{name}' fill max_tokens ({one.max_tokens}): "
                    "what is beyond is not read"
                )
    return tuple(notes)


def _chat_notes(arrays: Arrays, name: str, one: ChatField) -> list[str]:
    counts = arrays.counts
    notes = []
    if cut := counts["cut"]:
        notes.append(
            f"{cut:,} of {counts['chats']:,} training chats of '{name}' are longer than max_tokens ({one.max_tokens}): "
            "what is beyond is not read"
        )
    if left_out := counts["left_out"]:
        notes.append(f"{left_out:,} training chats of '{name}' have no answer in what is read, and are left out")
    kept = counts["chats"] - counts["left_out"]
    if arrays.num_rows < kept:  # pairs have a row each
        notes.append(f"{kept:,} training chats of '{name}' stand in {arrays.num_rows:,} rows")
    return notes
