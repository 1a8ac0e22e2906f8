"""Chats in rows: each once, none in two pieces, little room lost, and what is lost is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from ceiba.base.errors import DataError
from ceiba.base.keys import generator
from ceiba.fields import ChatField, ChatSpec, Ragged
from ceiba.prepare import fit_fields, prepare_arrays, truncation_notes
from ceiba.prepare.chat import packed
from ceiba.read import open_frame

SPEC = {"tokenizer": {"type": "byte", "special": ["[END]"]}, "max_tokens": 60}


def chat(question: str, answer: str) -> str:
    return json.dumps([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


@pytest.mark.parametrize("pack", [True, False])
def test_every_chat_is_in_one_row_and_begins_at_place_0(tmp_path: Path, pack: bool) -> None:
    rows = [chat("q" * (place % 7), "a" * (1 + place % 11)) for place in range(300)]
    frame = open_frame({"talk": [*rows, chat("q" * 50, "a"), chat("q" * 20, "a" * 30)]})
    fields = fit_fields(frame, {"talk": ChatSpec.model_validate({**SPEC, "pack": pack})}, {})
    field, arrays = fields.inputs["talk"], prepare_arrays(frame, fields, cache=tmp_path)
    assert isinstance(field, ChatField)
    ids, targets = arrays.parts["talk.ids"], arrays.targets["talk"]
    assert isinstance(ids, Ragged)
    assert isinstance(targets, Ragged)
    assert (ids.lengths == targets.lengths).all()
    assert ids.lengths.max() <= 60
    assert "talk" not in arrays.known, "most tokens are no targets"

    expected = sorted(one.ids.tobytes() for one in field.spoken(frame.to_table()["talk"]) if len(one.ids))
    if pack:
        starts = np.flatnonzero(arrays.parts["talk.positions"].values == 0)  # type: ignore[union-attr]
    else:
        assert "talk.positions" not in arrays.parts
        starts = ids.offsets[:-1]
    found = [part.tobytes() for part in np.split(np.asarray(ids.values), starts[1:])]
    assert sorted(found) == expected
    assert set(ids.offsets[:-1]) <= set(starts), "a row begins with a chat"

    notes = truncation_notes(arrays, fields)
    assert notes[:2] == (
        "2 of 302 training chats of 'talk' are longer than max_tokens (60): what is beyond is not read",
        "1 training chats of 'talk' have no answer in what is read, and are left out",
    )
    assert notes[2:] == ((f"301 training chats of 'talk' stand in {arrays.num_rows} rows",) if pack else ())
    assert arrays.counts["learnt"] == np.count_nonzero(targets.values)


def test_rows_are_filled_well() -> None:
    lengths = generator(0, "lengths").integers(1, 200, 2000)
    rows = packed(lengths, 512)
    assert sorted(one for row in rows for one in row) == list(range(2000))
    assert max(lengths[row].sum() for row in rows) <= 512
    assert lengths.sum() / (512 * len(rows)) > 0.99
    assert packed(np.zeros(0, np.int64), 8) == []


def test_a_wrong_row_is_named_and_answers_must_be_there(tmp_path: Path) -> None:
    good = open_frame({"talk": [chat("q", "a")] * 3})
    fields = fit_fields(good, {"talk": ChatSpec.model_validate(SPEC)}, {})
    bad = open_frame({"talk": [chat("q", "a"), json.dumps([{"role": "x", "content": "y"}])]})
    with pytest.raises(DataError, match=r"row 2, column 'talk' must hold chats"):
        prepare_arrays(bad, fields, cache=tmp_path)
    silent = open_frame({"talk": [json.dumps([{"role": "user", "content": "y"}])] * 3})
    with pytest.raises(DataError, match="must hold an answer to learn"):
        prepare_arrays(silent, fields, cache=tmp_path)
