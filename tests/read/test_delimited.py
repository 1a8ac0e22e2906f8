"""Delimited text: nothing, one row, ragged rows first; then every way in which such files are written."""

import csv
import datetime
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ceiba.base.errors import DataError
from ceiba.read import Frame, ReadSpec, decode, delimited, open_frame, rows

Write = Callable[[str, str | bytes], Path]


def rows_of(frame: Frame) -> list[dict[str, object]]:
    table = frame.to_table()
    assert table.num_rows == frame.num_rows
    return table.to_pylist()


def kinds_of(frame: Frame) -> list[str]:
    return [str(field.type) for field in frame.schema]


# --- 0, 1, ragged ---


@pytest.mark.parametrize("content", ["", "\n", "\r\n\n", "\ufeff"])
def test_an_empty_file_is_refused(write: Write, content: str) -> None:
    with pytest.raises(DataError, match=r"a.csv must hold at least one row. Got an empty file"):
        open_frame(write("a.csv", content))


def test_a_header_alone_is_a_table_without_rows(write: Write) -> None:
    for content in ("a,b\n", "a,b", "a,b\r\n"):
        frame = open_frame(write("a.csv", content))
        assert frame.names == ("a", "b")
        assert rows_of(frame) == []


def test_one_row_one_column(write: Write) -> None:
    assert rows_of(open_frame(write("a.csv", "a\n7"))) == [{"a": 7}]
    assert rows_of(open_frame(write("b.csv", "7"))) == [{"column_1": 7}]


@pytest.mark.parametrize(("line", "bad"), [(2, "1"), (3, "1,2,3"), (4, "x,y,z,w")])
def test_a_ragged_row_is_named_by_line(write: Write, line: int, bad: str) -> None:
    lines = ["a,b", "1,2", "", "3,4", "5,6"]
    lines.insert(line - 1, bad)
    with pytest.raises(
        DataError, match=rf"a.csv:{line} must have 2 cells. Got {len(bad.split(','))} in '{bad}'.*ragged: skip"
    ):
        open_frame(write("a.csv", "\n".join(lines)))


def test_the_line_of_a_ragged_row_counts_quoted_line_ends(write: Write) -> None:
    with pytest.raises(DataError, match=r"a.csv:5 must have 2 cells"):
        open_frame(write("a.csv", 'a,b\n"x\ny\nz",1\nonly\n'))


def test_ragged_rows_are_skipped_and_counted_on_request(write: Write) -> None:
    frame = open_frame(write("a.csv", "a,b\n1,2\n3\n4,5\n6,7,8\n"), ReadSpec(ragged="skip"))
    assert rows_of(frame) == [{"a": 1, "b": 2}, {"a": 4, "b": 5}]
    assert any("2 ragged rows skipped, the first at line 3" in note for note in frame.notes)


def test_a_ragged_row_far_down_has_its_own_line(
    write: Write, own_cache: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 64)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 50)
    lines = ["a,b"] + ['"x,\n",2'] * 100 + ["oops"] + ["3,4"] * 50
    with pytest.raises(DataError, match=r"a.csv:202 must have 2 cells"):
        open_frame(write("a.csv", "\n".join(lines)))


# --- kinds ---


@pytest.mark.parametrize(
    ("cells", "kind", "first"),
    [
        (["1", "2"], "int64", 1),
        (["1", "2.5"], "double", 1.0),
        (["1", ""], "int64", 1),
        ([" 1 ", "2"], "int64", 1),
        (["1", "x"], "string", "1"),
        (["007", "x"], "string", "007"),
        (["true", "false"], "bool", True),
        (["true", "1"], "string", "true"),
        (["1", "0"], "int64", 1),
        (["t", "f"], "string", "t"),
        (["2020-01-02", "2020-12-31"], "date32[day]", datetime.date(2020, 1, 2)),
        (["2020-01-02", "2020-12-31 10:00"], "timestamp[s]", datetime.datetime(2020, 1, 2)),
        (["2020-01-02", "31.12.2020"], "string", "2020-01-02"),
        (["10:30", "11:00"], "string", "10:30"),
        (["1,234", "5"], "string", "1,234"),
        (["1e400", "1"], "double", float("inf")),
        (["99999999999999999999", "1"], "double", 1e20),
        (["=1+1", "2"], "string", "=1+1"),
        (["yes", "no"], "string", "yes"),
        (["", "NA"], "null", None),
        (["None", "x"], "string", "None"),
    ],
)
@pytest.mark.parametrize("far", [False, True], ids=["at once", "far down"])
def test_a_column_is_what_all_its_rows_are(
    write: Write,
    own_cache: object,
    monkeypatch: pytest.MonkeyPatch,
    cells: list[str],
    kind: str,
    first: object,
    far: bool,
) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 64)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 64)
    values = [cells[0]] * (100 if far else 1) + cells[1:]
    content = "a;b\n" + "".join(f'"{value}";x\n' for value in values)
    frame = open_frame(write("a.csv", content), ReadSpec(delimiter=";", header=True, decimal="."))
    assert kinds_of(frame)[0] == kind
    assert rows_of(frame)[0]["a"] == first
    assert frame.num_rows == len(values)


def test_late_text_keeps_the_spelling_of_earlier_numbers(
    write: Write, own_cache: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 64)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 64)
    frame = open_frame(write("a.csv", "a,b\n" + "007,1.0\n" * 500 + "x,1.0\n"))
    assert kinds_of(frame) == ["string", "double"]
    assert [row["a"] for row in rows_of(frame)] == ["007"] * 500 + ["x"]


def test_a_spelling_far_down_that_needs_cleaning(
    write: Write, own_cache: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 64)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 64)
    frame = open_frame(write("a.csv", "a,b\n" + "1,2.5\n" * 100 + "    ?,   NA  \n"), ReadSpec(missing=("?",)))
    assert kinds_of(frame) == ["int64", "double"]
    assert rows_of(frame)[-1] == {"a": None, "b": None}


def test_moments_with_and_without_zone_stay_text(write: Write) -> None:
    frame = open_frame(
        write(
            "a.csv", "a,b\n2020-01-01T00:00:00Z,2020-01-01T00:00:00Z\n2020-01-01T00:00:00,2020-01-01T02:00:00+01:00\n"
        )
    )
    assert kinds_of(frame) == ["string", "timestamp[s, tz=UTC]"]


# --- missing values and blanks ---


def test_usual_spellings_are_missing_and_none_is_a_word(write: Write) -> None:
    frame = open_frame(write("a.csv", "a,b\nNA,x\nnull, NaN \n1,None\n,n/a\n"))
    assert rows_of(frame) == [
        {"a": None, "b": "x"},
        {"a": None, "b": None},
        {"a": 1, "b": "None"},
        {"a": None, "b": None},
    ]


def test_given_spellings_are_missing_besides_the_usual(write: Write) -> None:
    frame = open_frame(write("a.csv", "a,b\n ?,x\n1, ?\n-,NA\n"), ReadSpec(missing=("?", "-")))
    assert rows_of(frame) == [{"a": None, "b": "x"}, {"a": 1, "b": None}, {"a": None, "b": None}]


def test_keep_usual_leaves_only_the_empty_cell_missing(write: Write) -> None:
    frame = open_frame(write("a.csv", "a,b\nNA,\nnull,2\n"), ReadSpec(keep_usual=True))
    assert rows_of(frame) == [{"a": "NA", "b": None}, {"a": "null", "b": 2}]


def test_blanks_around_text_go_unless_told(write: Write) -> None:
    content = "a,b\n x , y z\t\n"
    assert rows_of(open_frame(write("a.csv", content))) == [{"a": "x", "b": "y z"}]
    assert rows_of(open_frame(write("a.csv", content), ReadSpec(strip=False))) == [{"a": " x ", "b": " y z\t"}]


# --- header ---


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("age,job\n39,x\n50,y\n", ("age", "job")),
        ("39,x\n50,y\n28,x\n", ("column_1", "column_2")),
        ("ham,one\nspam,two\nham,three\n", ("column_1", "column_2")),
        ("label,text\nham,one\nham,two\nspam,three\nham,four\n", ("label", "text")),
        ("first,second\nabc,def\nghi,jkl\n", ("first", "second")),
        ("2019,2020\n1.5,2.5\n", ("column_1", "column_2")),
        ("region,2019\nnorth,1.5\nsouth,2\nnorth,3\nsouth,4\n", ("region", "2019")),
        ("a,2020-01-01\nb,2020-01-02\n", ("column_1", "column_2")),
        ("name,when\nb,2020-01-02\n", ("name", "when")),
        ("?,1\n2,3\n", ("column_1", "column_2")),
        ("1,2\n", ("column_1", "column_2")),
        ("x" * 70 + ",b\nc,d\n", ("column_1", "column_2")),
    ],
)
def test_header_is_found(write: Write, content: str, names: tuple[str, ...]) -> None:
    frame = open_frame(write("a.csv", content), ReadSpec(missing=("?",)))
    assert frame.names == names
    assert frame.num_rows == content.count("\n") - (names[0] != "column_1")
    assert any("no header row" in note for note in frame.notes) == (names[0] == "column_1")


def test_header_told(write: Write) -> None:
    path = write("a.csv", "1,2\n3,4\n")
    assert rows_of(open_frame(path, ReadSpec(header=True))) == [{"1": 3, "2": 4}]
    assert open_frame(path, ReadSpec(header=False)).num_rows == 2
    assert open_frame(path, ReadSpec(header=False)).notes == ()
    assert rows_of(open_frame(path, ReadSpec(header=("x", "y")))) == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]


def test_a_header_given_and_in_the_file_is_left_out_once(write: Write) -> None:
    frame = open_frame(write("a.csv", "x,y\n3,4\n"), ReadSpec(header=("x", "y")))
    assert rows_of(frame) == [{"x": 3, "y": 4}]
    assert "repeats data.header" in frame.notes[0]


def test_header_given_with_another_number_of_names(write: Write) -> None:
    with pytest.raises(DataError, match=r"a.csv:1 must have 3 cells. Got 2"):
        open_frame(write("a.csv", "1,2\n3,4\n"), ReadSpec(header=("x", "y", "z")))


def test_names_twice_are_refused_and_empty_ones_filled(write: Write) -> None:
    with pytest.raises(DataError, match=r"must name each column once. Got 'a' more than once"):
        open_frame(write("a.csv", "a,b,a\n1,x,2\n"))
    frame = open_frame(write("b.csv", ",a,\n1,2,3\n"))
    assert frame.names == ("column_1", "a", "column_3")
    assert "column_1, column_3" in frame.notes[0]


def test_header_over_several_lines(write: Write) -> None:
    assert rows_of(open_frame(write("a.csv", '"first\nname",b\nx,1\n'))) == [{"first\nname": "x", "b": 1}]


# --- delimiters, quotes, decimal mark ---


@pytest.mark.parametrize(
    ("mark", "name"), [(",", "a.csv"), ("\t", "a.tsv"), (";", "a.csv"), ("|", "a.data"), ("\t", "a.csv")]
)
def test_delimiter_is_found(write: Write, mark: str, name: str) -> None:
    content = "\n".join(mark.join(row) for row in (["id", "text, more"], ["1", "x y"], ["2", "z"])).replace(
        "text, more", "text" if mark == "," else "text, more"
    )
    frame = open_frame(write(name, content))
    assert frame.num_rows == 2
    assert len(frame.names) == 2
    assert any("separated by" in note for note in frame.notes) == (
        (mark, name) not in ((",", "a.csv"), ("\t", "a.tsv"))
    )


def test_runs_of_blanks(write: Write) -> None:
    content = "  1.5   2\t3 \r\n 4     5   6\r\n\r\n7 8 9"
    for name in ("a.data", "a.txt", "a.csv"):
        frame = open_frame(write(name, content))
        assert [list(row.values()) for row in rows_of(frame)] == [[1.5, 2, 3], [4.0, 5, 6], [7.0, 8, 9]]
    with pytest.raises(DataError, match=r"b.data:3 must have 2 cells. Got 3"):
        open_frame(write("b.data", "1 2\n3 4\n5 6 7\n8 9\n" + "1 1\n" * 20))
    assert open_frame(write("c.data", "a b\nx y\n"), ReadSpec(delimiter="blank", header=True)).num_rows == 1


@pytest.mark.parametrize("bad", ["ab", '"', "\n", "§"])
def test_a_delimiter_must_be_one_character(write: Write, bad: str) -> None:
    with pytest.raises(DataError, match=r"data.delimiter must be one ASCII character"):
        open_frame(write("a.csv", "a,b\n1,2\n"), ReadSpec(delimiter=bad))


def test_quoted_cells(write: Write) -> None:
    content = 'a,b\r\n"x, ""y""\r\nz",1\r\n"",2\r\n5" pipe,3\r\n'
    assert rows_of(open_frame(write("a.csv", content))) == [
        {"a": 'x, "y"\r\nz', "b": 1}, {"a": None, "b": 2}, {"a": '5" pipe', "b": 3},
    ]  # fmt: skip


def test_quotes_off(write: Write) -> None:
    frame = open_frame(write("a.csv", 'a,b\n"x,1\ny",2\n'), ReadSpec(quote=False))
    assert rows_of(frame) == [{"a": '"x', "b": 1}, {"a": 'y"', "b": 2}]


@pytest.mark.parametrize("far", [1, 500])
def test_a_tab_file_is_quoted_only_if_all_its_quotes_pair(
    write: Write, own_cache: object, monkeypatch: pytest.MonkeyPatch, far: int
) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 128)
    paired = open_frame(write("a.tsv", "l\tt\n" + 'x\t"a ""b"" c"\n' * far))
    assert rows_of(paired)[0]["t"] == 'a "b" c'
    unpaired = open_frame(write("b.tsv", "l\tt\n" + "x\tplain\n" * far + 'x\t"Hello he said\ny\t"Bye" she said\n'))
    assert [row["t"] for row in rows_of(unpaired)[-2:]] == ['"Hello he said', '"Bye" she said']
    assert any("quotes do not pair" in note for note in unpaired.notes)


@pytest.mark.parametrize("far", [0, 300])
def test_an_unclosed_quote_is_named_by_line(
    write: Write, own_cache: object, monkeypatch: pytest.MonkeyPatch, far: int
) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 64)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 64)
    content = "a,b\n" + "1,2\n" * far + '"x,1\ny,2\n'
    with pytest.raises(DataError, match=rf"a.csv:{far + 2} a quoted cell must be closed.*data.quote: false"):
        open_frame(write("a.csv", content), ReadSpec(header=True))


def test_decimal_comma(write: Write) -> None:
    content = "a;b\n1,5;x\n-2,25;y\n3;z\n"
    found = open_frame(write("a.csv", content))
    assert [row["a"] for row in rows_of(found)] == [1.5, -2.25, 3.0]
    assert any("decimal comma" in note for note in found.notes)
    told = open_frame(write("b.csv", 'a,b\n"1,5",2\n" 2,5 ",   \n'), ReadSpec(decimal=","))
    assert rows_of(told) == [{"a": 1.5, "b": 2}, {"a": 2.5, "b": None}]


# --- bytes ---


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("final", [True, False])
def test_line_ends(write: Write, end: str, final: bool) -> None:
    content = end.join(["a,b", "1,x", "2,y"]) + (end if final else "")
    assert rows_of(open_frame(write("a.csv", content))) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


TEXT = "name,n\nÄpfel,1\nBäume “quoted”,2\n" + "Ärger,3\n" * 100


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("utf-16-le", None), ("utf-16-be", None),
        ("cp1252", None),
        ("utf-8", "utf-8"), ("utf-16", "utf-16"), ("utf-8-sig", "utf-8"), ("cp1252", "windows-1252"),
        ("utf-16-be", "utf-16-be"),
    ],
)  # fmt: skip
def test_encodings(
    write: Write, own_cache: object, monkeypatch: pytest.MonkeyPatch, encoding: str, told: str | None
) -> None:
    monkeypatch.setattr(decode, "BLOCK_BYTES", 33)
    frame = open_frame(write("a.csv", TEXT.encode(encoding)), ReadSpec(encoding=told))
    assert [row["name"] for row in rows_of(frame)][:3] == ["Äpfel", "Bäume “quoted”", "Ärger"]
    assert frame.names == ("name", "n")


def test_latin_1_far_down_is_found_and_told(write: Write, own_cache: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BLOCK_BYTES", 64)
    frame = open_frame(write("a.csv", b"a,b\n" + b"x,1\n" * 1000 + b"\xc4rger,2\n"))
    assert rows_of(frame)[-1]["a"] == "Ärger"
    assert any("read as latin-1" in note for note in frame.notes)


def test_bytes_that_break_the_encoding_given(write: Write) -> None:
    with pytest.raises(DataError, match=r"a.csv:3 must be utf-8 text. Got the byte 0xc4.*data.encoding"):
        open_frame(write("a.csv", b"a,b\nx,1\n\xc4rger,2\n"), ReadSpec(encoding="utf-8"))
    with pytest.raises(DataError, match=r"must have a known encoding. Got 'utf-99'"):
        open_frame(write("a.csv", "a,b\n1,2\n"), ReadSpec(encoding="utf-99"))
    with pytest.raises(DataError, match=r"an end inside a letter"):
        open_frame(write("b.csv", "a,b\n1,ä".encode("utf-16") + b"\0"), ReadSpec())


def test_a_zero_byte_is_named_by_line(write: Write) -> None:
    with pytest.raises(DataError, match=r"a.csv:3 must be text. Got a zero byte"):
        open_frame(write("a.csv", b"a,b\n1,2\n3,\x004\n"))


def test_zero_bytes_everywhere_are_no_utf_16(write: Write) -> None:
    with pytest.raises(DataError, match=r"a.csv:1 must be text. Got a zero byte"):
        open_frame(write("a.csv", b"a\0\0\0,\0\0b\n" * 50))


def test_one_giant_cell(write: Write) -> None:
    giant = "ab\n" * 2_000_000
    frame = open_frame(write("a.csv", f'a,b\n1,x\n2,"{giant}"\n3,y\n'))
    assert [len(row["b"] or "") for row in rows_of(frame)] == [1, len(giant), 1]


def test_a_row_without_end_is_refused_before_memory_is_full(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_ROW_BYTES", 1 << 20)
    with pytest.raises(DataError, match=r"a.csv:2 a quoted cell must be closed. Got one of more than"):
        open_frame(write("a.csv", 'a,b\n1,"' + "x" * (8 << 20)))
    with pytest.raises(DataError, match=r"b.csv:1 a row must end"):
        open_frame(write("b.csv", "x" * (8 << 20)))


def test_packed_files(write: Write) -> None:
    plain = b"a,b\n1,x\n"
    assert rows_of(open_frame(write("a.csv.gz", gzip.compress(plain)))) == [{"a": 1, "b": "x"}]
    assert rows_of(open_frame(write("b.CSV.GZ", gzip.compress(plain)))) == [{"a": 1, "b": "x"}]
    with pytest.raises(DataError, match=r"c.csv.gz must be a whole .gz file"):
        open_frame(write("c.csv.gz", gzip.compress(plain)[:-9]))
    with pytest.raises(DataError, match=r"d.csv.gz must be a whole .gz file"):
        open_frame(write("d.csv.gz", plain))


# --- text that repeats ---


def test_text_that_repeats_comes_once_a_value_to_whoever_asks(write: Write) -> None:
    lines = [f"{'red' if row % 2 else ' blue'},{'' if row % 3 else 'n/a'},t{row}" for row in range(40)]
    frame = open_frame(write("a.csv", "\n".join(["color,none,text", *lines])))
    assert frame.schema.types == [pa.string(), pa.null(), pa.string()]
    (batch,) = frame.batches(("text", "color"), coded=True)
    assert [str(kind) for kind in batch.schema.types] == [
        "string",
        "dictionary<values=string, indices=int32, ordered=0>",
    ]
    assert batch.column(1).dictionary.to_pylist() == ["blue", "red"]
    (plain,) = frame.batches(("text", "color"))
    assert plain.schema.types == [pa.string(), pa.string()]
    assert plain.column(1).to_pylist() == ["blue", "red"] * 20
    assert frame.take(np.arange(1, 40, 2)).column("color").frame.to_table()["color"].unique().to_pylist() == ["red"]


def test_text_of_too_many_values_is_read_again_as_it_is(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 4 * 64)
    monkeypatch.setattr(delimited, "MOST_CODED", 5)
    values = ["a"] * 64 + [f"b{row}" for row in range(64)]
    frame = open_frame(write("a.csv", "x,y\n" + "".join(f"{value},c\n" for value in values)))
    assert frame.to_table()["x"].to_pylist() == values
    batch = next(frame.batches(coded=True))
    assert [pa.types.is_dictionary(kind) for kind in batch.schema.types] == [False, True]


# --- against Python's own reader ---


def tables(width: int) -> st.SearchStrategy[list[list[str]]]:
    return st.lists(st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=30)


cell = st.text(st.sampled_from('ab",;\n\r \t"é€x1'), max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.integers(2, 4).flatmap(tables),
    segment_bytes=st.integers(1, 80), block_bytes=st.integers(1, 50), all_quoted=st.booleans(),
    repeats=st.sampled_from([0, 2, 100]), most_coded=st.integers(0, 8),
)  # fmt: skip
def test_cells_are_those_of_pythons_reader_however_the_file_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[list[str]],
    segment_bytes: int,
    block_bytes: int,
    all_quoted: bool,
    repeats: int,
    most_coded: int,
) -> None:
    table = [[(value if all_quoted else value.replace("\r", "")).strip(" \t") for value in row] for row in table]
    names = tuple(f"n{place}" for place in range(len(table[0])))
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL
    csv.writer(out, lineterminator="\n", quoting=quoting).writerows([names, *table])
    path = tmp_path_factory.mktemp("cut") / "a.csv"
    path.write_bytes(out.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CEIBA_CACHE", str(path.parent / "cache"))
        patch.setattr(rows, "SEGMENT_BYTES", segment_bytes)
        patch.setattr(decode, "BLOCK_BYTES", block_bytes)
        patch.setattr(delimited, "REPEATS", repeats)
        patch.setattr(delimited, "MOST_CODED", most_coded)
        frame = open_frame(path, ReadSpec(header=True, delimiter=",", keep_usual=True, encoding="utf-8"))
        found = [[None if value is None else value for value in row.values()] for row in rows_of(frame)]
    texts = [str(field.type) == "string" for field in frame.schema]
    expected = [[value or None for value in row] for row in table]
    for got, row in zip(found, expected, strict=True):
        for is_text, value, cell_text in zip(texts, got, row, strict=True):
            assert value == (cell_text if is_text or cell_text is None else float(cell_text))
