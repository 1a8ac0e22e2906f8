"""Texts that are cut are counted."""

from pathlib import Path

from ceiba.fields import TextSpec
from ceiba.prepare import fit_fields, prepare_arrays, truncation_notes
from ceiba.read import open_frame


def test_texts_that_fill_their_last_place_are_counted(tmp_path: Path) -> None:
    frame = open_frame({"about": ["a b c d", "a b", "a b c", "a"], "more": ["x", "y", "z", "x y"], "y": [1.0, 2, 3, 4]})
    inputs = {
        "about": TextSpec(tokenizer={"type": "word", "min_count": 1}, max_tokens=3),
        "more": TextSpec(tokenizer={"type": "word", "min_count": 1}, max_tokens=9),
    }
    fields = fit_fields(frame, inputs, {})
    notes = truncation_notes(prepare_arrays(frame, fields, cache=tmp_path), fields)
    assert notes == ("2 of 4 training texts of 'about' fill max_tokens (3): what is beyond is not read",)
