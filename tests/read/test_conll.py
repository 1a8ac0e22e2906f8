"""CoNLL files: sentences as rows, columns as lists."""

from pathlib import Path

import pytest

from ceiba.base.errors import DataError
from ceiba.read import ReadSpec, open_frame
from ceiba.read import rows as segmenting

TEXT = "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n# a comment\nPeter NNP B-PER\r\n\n\nBlackburn NNP I-PER"


def read(path: Path, text: str, **options: object) -> list[dict[str, list[str]]]:
    path.write_bytes(text.encode())
    return open_frame(path, ReadSpec(format="conll", **options)).to_table().to_pylist()


def test_a_row_is_a_sentence_and_a_column_a_list(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.txt", TEXT, header=("word", "pos", "tag"))
    assert rows == [
        {"word": ["EU", "rejects"], "pos": ["NNP", "VBZ"], "tag": ["B-ORG", "O"]},
        {"word": ["Peter"], "pos": ["NNP"], "tag": ["B-PER"]},
        {"word": ["Blackburn"], "pos": ["NNP"], "tag": ["I-PER"]},
    ]
    assert list(read(tmp_path / "b.txt", TEXT)[0]) == ["token", "column_2", "tag"]


def test_columns_may_be_parted_by_tabs_and_hold_blanks(tmp_path: Path) -> None:
    assert read(tmp_path / "a.conll", "New York\tB-LOC\n", delimiter="\t") == [
        {"token": ["New York"], "tag": ["B-LOC"]}
    ]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "a.conll", "\n\n") == []


def test_a_line_with_another_number_of_columns_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.conll:3 must have 2 columns. Got 3"):
        read(tmp_path / "a.conll", "a O\n\nb x O\n")
    with pytest.raises(DataError, match="a name for each column"):
        read(tmp_path / "a.conll", "a O\n", header=("a",))


def test_sentences_are_whole_across_the_segments_in_which_a_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenting, "SEGMENT_BYTES", 8)
    rows = read(tmp_path / "a.conll", "".join(f"w{place} O\nx O\n\n" for place in range(50)))
    assert [row["token"] for row in rows] == [[f"w{place}", "x"] for place in range(50)]
