"""Every format that is no delimited text: nothing, one row, damage first; then what is its own."""

import gzip
import json
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from ceiba.base.errors import DataError
from ceiba.read import ReadSpec, decode, json_rows, open_frame, rows, sqlite

Write = Callable[[str, str | bytes], Path]


# --- plain text ---


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("\n", [""]),
        ("a\n\nb\r\n c \n", ["a", "", "b", " c "]),
        ("NA\nnull\n1\n", ["NA", "null", "1"]),
        ("ä\n“b”", ["ä", "“b”"]),
    ],
)
def test_a_line_is_a_row(write: Write, content: str, lines: list[str]) -> None:
    frame = open_frame(write("a.txt", content))
    assert frame.to_table().to_pylist() == [{"text": line} for line in lines]
    assert frame.num_rows == len(lines)


def test_lines_across_segments_and_their_column_name(
    write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SEGMENT_BYTES", 20)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 7)
    lines = [f"line {number} ä" for number in range(100)]
    frame = open_frame(write("a.txt", "\n".join(lines)), ReadSpec(text_column="verse"))
    assert frame.to_table().column("verse").to_pylist() == lines


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("good film\t1\nbad\t0\n", 2),
        ("1.5 2\n3 4\n", 2),
        ("x y\n1.5 2\n3 4\n", 2),
        ("1.5,2\n3,4\n", 2),
        ("To be or not\nto be that is\n", 1),
        ("1\n2\n", 1),
        ("one\ttab\nnone\n", 1),
    ],
)
def test_a_txt_that_is_a_table_is_read_as_one(write: Write, content: str, columns: int) -> None:
    path = write("a.txt", content)
    assert len(open_frame(path).names) == columns
    assert len(open_frame(path, ReadSpec(format="txt")).names) == 1


# --- parquet and arrow ---


def make(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:
        maker = pa.ipc.new_file if path.stem == "file" else pa.ipc.new_stream
        with maker(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "file.arrow", "stream.arrow"])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_arrow_files(tmp_path: Path, name: str, count: int) -> None:
    table = pa.table(
        {"n": pa.array(range(count), pa.int32()), "t": pa.array(["x"] * count, pa.string()).dictionary_encode()}
    )
    make(tmp_path / name, table)
    frame = open_frame(tmp_path / name)
    for _ in range(2):
        assert frame.to_table().to_pylist() == [{"n": row, "t": "x"} for row in range(count)]
    assert [str(field.type) for field in frame.schema] == ["int32", "string"]
    assert frame.select(["t", "n"]).to_table().column_names == ["t", "n"]
    assert frame.num_rows == count


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "file.arrow"])
@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_damaged_arrow_files(tmp_path: Path, name: str, damage: str) -> None:
    make(tmp_path / name, pa.table({"n": range(100)}))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "other": b"a,b\n1,2\n"}[damage])
    with pytest.raises(DataError, match=r"must be (a parquet|an Arrow) file"):
        open_frame(tmp_path / name).to_table()


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "file.arrow"])
def test_a_file_that_changes_after_it_was_opened_is_an_error(tmp_path: Path, name: str) -> None:
    make(tmp_path / name, pa.table({"n": range(100)}))
    frame = open_frame(tmp_path / name)
    make(tmp_path / name, pa.table({"n": range(50)}))
    with pytest.raises(DataError, match="must not change while it is used"):
        frame.to_table()


def test_image_rows_of_parquet_come_few_at_a_time(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": [b"x" * (8 << 20)] * 12}), tmp_path / "a.parquet", compression="none", use_dictionary=False
    )
    batches = list(open_frame(tmp_path / "a.parquet").batches())
    assert max(batch.nbytes for batch in batches) <= 65 << 20


def test_parquet_of_old_writers(tmp_path: Path) -> None:
    moment = pa.array([0, 10**18], pa.timestamp("ns"))
    pq.write_table(
        pa.table({"when": moment, "d": pa.array([[1.0], None])}),
        tmp_path / "a.parquet",
        use_deprecated_int96_timestamps=True,
    )
    frame = open_frame(tmp_path / "a.parquet")
    assert frame.to_table().column("when").cast(pa.int64()).to_pylist() == [0, 10**18]


# --- JSON ---

ROWS = [{"n": 1, "t": "ä", "f": 0.5}, {"n": 2, "t": None, "f": 1}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(ROWS)),
        ("a.json", " \n" + json.dumps(ROWS, indent=2, ensure_ascii=False) + "\n "),
        ("a.json", json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]})),
        ("a.json", json.dumps({name: {str(at): row[name] for at, row in enumerate(ROWS)} for name in ROWS[0]})),
        ("a.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
        ("a.ndjson", "\n\n".join(json.dumps(row) for row in ROWS) + "\r\n"),
    ],
)
def test_json_forms(write: Write, name: str, content: str) -> None:
    frame = open_frame(write(name, content))
    assert frame.to_table().to_pylist() == ROWS
    assert [str(field.type) for field in frame.schema] == ["int64", "string", "double"]


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", "[]"), ("a.json", " [ ]\n"), ("a.json", "{}"), ("a.jsonl", "")]
)
def test_json_without_rows(write: Write, name: str, content: str) -> None:
    assert open_frame(write(name, content)).num_rows == 0


@pytest.mark.parametrize("block_bytes", [1, 7, 64])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_is_streamed_and_settled_over_all_rows(
    write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, block_bytes: int
) -> None:
    monkeypatch.setattr(decode, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(rows, "SEGMENT_BYTES", block_bytes)
    monkeypatch.setattr(json_rows, "CHUNK_ROWS", 2)
    found = [{"a": 1, "b": "ä[{,"}, {"a": 2.5}, {"a": None, "c": [1, 2]}, {"a": "x", "d": {"k": "€"}}, {"c": [0.5]}]
    content = json.dumps(found, ensure_ascii=False) if name == "a.json" else "\n".join(map(json.dumps, found))
    table = open_frame(write(name, content)).to_table()
    assert table.to_pydict() == {
        "a": ["1", "2.5", None, "x", None],
        "b": ["ä[{,", None, None, None, None],
        "c": [None, None, [1.0, 2.0], None, [0.5]],
        "d": [None, None, None, '{"k": "€"}', None],
    }


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        ([True, False, None], "bool", [True, False, None]),
        ([True, 1], "string", ["true", "1"]),
        ([1, 2**63], "double", [1.0, 2.0**63]),
        ([1, 2**70], "double", [1.0, 2.0**70]),
        (["1", "2"], "string", ["1", "2"]),
        (["2020-01-01", None], "date32[day]", None),
        (["2020-01-01 10:00", "x"], "string", ["2020-01-01 10:00", "x"]),
        (["NA", ""], "string", ["NA", ""]),
        ([[1, "x"], [None]], "list<item: string>", [["1", "x"], [None]]),
        ([["a"], []], "list<item: string>", [["a"], []]),
        ([[[1]], None], "string", ["[[1]]", None]),
        ([[1], 2], "string", ["[1]", "2"]),
        ([None, None], "null", [None, None]),
    ],
)
def test_json_kinds(write: Write, cells: list[object], kind: str, expected: list[object] | None) -> None:
    column = open_frame(write("a.jsonl", "\n".join(json.dumps({"a": cell}) for cell in cells))).to_table().column("a")
    assert str(column.type) == kind
    assert expected is None or column.to_pylist() == expected


def test_nan_in_json_is_read(write: Write) -> None:
    found = open_frame(write("a.jsonl", '{"a": NaN}\n{"a": 1}')).to_table().column("a").to_pylist()
    assert np.isnan(found[0])
    assert found[1] == 1.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a.jsonl:2 must be a JSON object"),
        ("a.jsonl", '{"a": 1}\n[1]\n', r"a.jsonl:2 must be a JSON object, one row. Got a list"),
        ("a.json", '[{"a": 1},\n{"a": }]', r"a.json:2 must be JSON"),
        ("a.json", '[{"a": 1}\n{"a": 2}]', r"a.json:\d must be JSON.*neither a comma"),
        ("a.json", '[{"a": 1},\n', r"a.json:\d must be JSON"),
        ("a.json", '[{"a": 1}] more', r"a.json:\d must be JSON"),
        ("a.json", "[1, 2]", r"a.json:1 must be a JSON object, one row. Got a int"),
        ("a.json", "hello", r"a.json:1 must be JSON, an array of objects"),
        ("a.json", "", r"must be JSON"),
        ("a.jsonl", '{"a": "\\ud800"}', r"a.jsonl column 'a' must hold Unicode text. Got half a letter"),
        (
            "a.jsonl",
            '{"a": "x"}\n' * 5000 + '{"a": "\\ud800"}',
            r"a.jsonl column 'a' must hold Unicode text. Got half a letter",
        ),
        ("a.json", '{"a": [1], "b": 2}', r"Got a int under 'b'"),
        ("a.json", '{"a": [1], "b": [1, 2]}', r"columns of one length. Got 1 in 'a' and 2 in 'b'"),
        ("a.json", '{"a": [1', r"a.json:1 must be JSON"),
        ("a.jsonl", "[" * 100_000, r"a.jsonl:1 must be a JSON object"),
        ("a.json", '[{"a":' + "[" * 100_000, r"a.json:1 must be JSON"),
    ],
)
def test_broken_json_is_named_by_line(write: Write, name: str, content: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_frame(write(name, content))


# --- SQLite ---


def database(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def test_sqlite_table_and_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "CHUNK_ROWS", 2)
    path = database(
        tmp_path / "a.sqlite", "CREATE TABLE t (n, s TEXT, b BLOB)", "CREATE TABLE empty (x, y)",
        "INSERT INTO t VALUES (1, 'ä', x'00ff'), (2, NULL, NULL), (2.5, '2020', x'')",
    )  # fmt: skip
    frame = open_frame(path, ReadSpec(table="t"))
    assert frame.to_table().to_pydict() == {"n": [1.0, 2.0, 2.5], "s": ["ä", None, "2020"], "b": [b"\0\xff", None, b""]}
    assert open_frame(path, ReadSpec(table="empty")).names == ("x", "y")
    query = ReadSpec(query="SELECT n * 2 AS twice FROM t WHERE n < 2.2 ORDER BY n DESC")
    assert open_frame(path, query).to_table().to_pydict() == {"twice": [4, 2]}


def test_the_only_table_needs_no_name(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", 'CREATE TABLE "odd ""name" (n)', 'INSERT INTO "odd ""name" VALUES (7)')
    assert open_frame(path).to_table().to_pydict() == {"n": [7]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"data.table or data.query must be given. Got tables one, two"),
        ({"table": "tow"}, r"must have the table 'tow'.*Did you mean 'two'"),
        ({"query": "SELECT * FROM nowhere"}, r"data.query must be one SELECT. Got no such table"),
        ({"query": "DELETE FROM one"}, r"data.query must be one SELECT"),
        ({"query": "SELECT 1; SELECT 2"}, r"data.query must be one SELECT"),
        ({"query": "ATTACH 'other.db' AS o"}, r"data.query must be one SELECT"),
        ({"query": "SELECT 1 AS a, 2 AS a"}, r"must name each column once. Got 'a' twice"),
    ],
)
def test_sqlite_errors(tmp_path: Path, options: dict[str, str], words: str) -> None:
    path = database(tmp_path / "a.db", "CREATE TABLE one (n)", "CREATE TABLE two (n)", "INSERT INTO one VALUES (1)")
    before = path.read_bytes()
    with pytest.raises(DataError, match=words):
        open_frame(path, ReadSpec(**options))
    assert path.read_bytes() == before
    assert not (tmp_path / "other.db").exists()


def test_what_is_no_sqlite_file(write: Write) -> None:
    with pytest.raises(DataError, match="must be an SQLite file"):
        open_frame(write("a.db", "a,b\n1,2\n" * 100))


# --- IDX ---


def idx(values: np.ndarray, code: int = 0x08) -> bytes:
    return bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


PIXELS = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
LABELS = np.array([3, 1, 4, 1, 5], dtype=np.uint8)


@pytest.mark.parametrize("pair", [
    ("t-images-idx3-ubyte", "t-labels-idx1-ubyte"), ("t-images-idx3-ubyte.gz", "t-labels-idx1-ubyte.gz"),
    ("t-images.idx3-ubyte", "t-labels.idx1-ubyte.gz"),
])  # fmt: skip
@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_idx_images_and_labels_find_each_other(write: Write, pair: tuple[str, str], asked: int, count: int) -> None:
    contents = idx(PIXELS[:count]), idx(LABELS[:count])
    paths = [
        write(name, gzip.compress(content) if name.endswith("gz") else content)
        for name, content in zip(pair, contents, strict=True)
    ]
    frame = open_frame(paths[asked])
    assert frame.to_table().column("label").to_pylist() == LABELS[:count].tolist()
    assert frame.to_table().column("image").to_pylist() == PIXELS[:count].reshape(count, 6).tolist()
    assert frame.schema.field("image").type == pa.list_(pa.uint8(), 6)
    assert frame.schema.field("image").metadata == {b"shape": b"2,3,1"}
    assert frame.notes == ()


def test_idx_alone_is_told(write: Write) -> None:
    frame = open_frame(write("x-images-idx3-ubyte", idx(PIXELS)))
    assert frame.names == ("image",)
    assert "found no file of its labels" in frame.notes[0]
    floats = open_frame(write("y.idx1", idx(np.array([0.5, 1.5], ">f4"), 0x0D)))
    assert floats.to_table().to_pydict() == {"label": [0.5, 1.5]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must be an IDX file"),
        (b"\0\0\x08", "must be an IDX file"),
        (b"\1\0\x08\1" + b"\0" * 8, "must be an IDX file. Got the first bytes 01 00 08 01"),
        (b"\0\0\x08\3\0\0", "an end inside its head"),
        (idx(LABELS)[:-2], "must hold 5 rows. Got 3"),
        (idx(LABELS) + b"x", "must hold 5 rows. Got more bytes"),
        (b"\0\0\x08\3" + b"\xff" * 12, r"must be an IDX file. Got the shape \(4294967295"),
    ],
)
def test_broken_idx(write: Write, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_frame(write("a-labels-idx1-ubyte", content))


def test_idx_pair_of_different_numbers(write: Write) -> None:
    write("t-labels-idx1-ubyte", idx(LABELS[:3]))
    with pytest.raises(DataError, match=r"must be as many. Got 5 in t-images-idx3-ubyte and 3 in"):
        open_frame(write("t-images-idx3-ubyte", idx(PIXELS)))
