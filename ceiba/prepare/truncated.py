"""Texts that are longer than what is read of them."""

from ceiba.fields import Fields, Ragged, TokenField
from ceiba.prepare.arrays import Arrays


def truncation_notes(arrays: Arrays, fields: Fields) -> tuple[str, ...]:
    """How many training texts fill their last place, so that anything beyond is not read."""
    notes = []
    for name, one in fields.inputs.items():
        ids = arrays.parts.get(f"{name}.ids")
        if isinstance(one, TokenField) and isinstance(ids, Ragged):
            full = int((ids.lengths >= one.max_tokens).sum())
            if full:
                notes.append(
                    f"{full:,} of {arrays.num_rows:,} training texts of '{name}' fill max_tokens ({one.max_tokens}): "
                    "what is beyond is not read"
                )
    return tuple(notes)
