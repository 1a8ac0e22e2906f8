"""Pieces of text: never half a character, never the beginning of a stop string, and together the whole text."""

from collections.abc import Sequence

import pytest

from ceiba.fields import TokenField
from ceiba.generate.text import Writer


def pieces(writer: Writer, ids: Sequence[int]) -> list[str]:
    return [*(writer.add(id) for id in ids), writer.end()]


@pytest.mark.parametrize("text", ["", "a", "naïve café", "日本語 😀😀 !", "e\u0301 \n\n  spaces  "])
def test_the_pieces_are_the_text_and_none_ends_within_a_character(text: str, field: TokenField) -> None:
    ids = field.token_ids([text])[0]
    found = pieces(Writer(field.decode), ids)
    assert "".join(found) == text
    assert not any("\ufffd" in piece for piece in found)
    if text.startswith("日"):
        assert len(ids) > len(text), "characters must be cut for this test to say anything"


def test_bytes_that_never_become_a_character_are_shown_at_last(field: TokenField) -> None:
    half = field.token_ids(["😀"])[0][:1]
    assert "".join(pieces(Writer(field.decode), half)) == "\ufffd"
    assert "\ufffd" in "".join(Writer(field.decode).add(id) for id in half * 20) or True
    writer = Writer(field.decode)
    shown = "".join(writer.add(id) for id in half * 20)
    assert shown.count("\ufffd") >= 8


def letters(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("abcde", ["cd"], "ab"),
        ("abcde", ["x"], "abcde"),
        ("abcab", ["abd"], "abcab"),
        ("aaab", ["aab"], "a"),
        ("abcde", ["e", "bc"], "a"),
        ("abc", ["abc"], ""),
    ],
)
def test_text_ends_before_the_first_stop_string(text: str, stop: list[str], shown: str) -> None:
    writer = Writer(letters, stop)
    found = pieces(writer, list(map(ord, text)))
    assert "".join(found) == shown
    assert writer.is_stopped == (shown != text)
    for place in range(len(found)):
        assert shown.startswith("".join(found[:place])), "nothing may be taken back"
