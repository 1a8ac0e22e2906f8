"""What every reader promises, walked over the catalog: a format added there is tested unasked."""

import io
import json
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ceiba.base.errors import DataError
from ceiba.read import READERS, ReadSpec, open_frame

ROWS = [{"n": number, "t": f"word {number}"} for number in range(5)]


def put_text(mark: str) -> Callable[[Path, int], None]:
    def put(path: Path, count: int) -> None:
        path.write_text(
            "".join(f"{mark.join(row)}\n" for row in [("n", "t"), *((str(r["n"]), r["t"]) for r in ROWS[:count])])
        )

    return put


def put_lines(path: Path, count: int) -> None:
    path.write_text("".join(f"{row['t']}\n" for row in ROWS[:count]))


def put_conll(path: Path, count: int) -> None:
    path.write_text("".join(f"word{row['n']} O\n\n" for row in ROWS[:count]))


def put_wiki(path: Path, count: int) -> None:
    pages = [f"<page><title>{row['n']}</title><text>{row['t']}</text></page>" for row in ROWS[:count]]
    path.write_text(f"<mediawiki>{''.join(pages)}</mediawiki>")


def put_json(path: Path, count: int) -> None:
    path.write_text(json.dumps(ROWS[:count]))


def put_jsonl(path: Path, count: int) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:count]))


def table_of(count: int) -> pa.Table:
    return pa.Table.from_pylist(ROWS[:count], pa.schema([("n", pa.int64()), ("t", pa.string())]))


def put_parquet(path: Path, count: int) -> None:
    pq.write_table(table_of(count), path)


def put_arrow(path: Path, count: int) -> None:
    with pa.ipc.new_file(path, table_of(count).schema) as writer:
        writer.write_table(table_of(count))


def put_sqlite(path: Path, count: int) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (n, t)")
        connection.executemany("INSERT INTO t VALUES (:n, :t)", ROWS[:count])
        connection.commit()


def put_idx(path: Path, count: int) -> None:
    pixels = np.arange(count * 4, dtype=np.uint8)
    path.write_bytes(b"\0\0\x08\3" + struct.pack(">3I", count, 2, 2) + pixels.tobytes())


def put_zip(path: Path, count: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t.csv", "n,t\n" + "".join(f"{row['n']},{row['t']}\n" for row in ROWS[:count]))


def put_tar(path: Path, count: int) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(out, "PNG")
    with tarfile.open(path, "w") as archive:
        for row in ROWS[: max(count, 1)]:
            info = tarfile.TarInfo(f"c/{row['n']}.png")
            info.size = len(out.getvalue())
            archive.addfile(info, io.BytesIO(out.getvalue()))


SAMPLES: dict[str, Callable[[Path, int], None]] = {
    "csv": put_text(","), "tsv": put_text("\t"), "tab": put_text("\t"), "data": put_text(";"), "dat": put_text("|"),
    "txt": put_lines, "text": put_lines, "json": put_json, "jsonl": put_jsonl, "ndjson": put_jsonl,
    "parquet": put_parquet, "pq": put_parquet, "arrow": put_arrow, "feather": put_arrow, "ipc": put_arrow,
    "conll": put_conll, "bio": put_conll, "xml": put_wiki, "wiki": put_wiki,
    "sqlite": put_sqlite, "sqlite3": put_sqlite, "db": put_sqlite, "idx": put_idx, "zip": put_zip, "tar": put_tar,
}  # fmt: skip
BINARY = ("parquet", "pq", "arrow", "feather", "ipc", "sqlite", "sqlite3", "db", "idx", "zip", "tar")


def test_every_reader_has_a_sample() -> None:
    assert set(SAMPLES) == set(READERS)


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_frame_is_re_readable_selectable_and_known_by_its_content(tmp_path: Path, name: str, count: int) -> None:
    path = tmp_path / f"a.{name}"
    SAMPLES[name](path, count)
    before = path.read_bytes()
    frame = open_frame(path)
    count = max(count, 1) if name == "tar" else count
    assert frame.num_rows == count
    first, again = frame.to_table(), frame.to_table()
    assert first.num_rows == count
    assert first.equals(again)
    assert first.schema.equals(frame.schema, check_metadata=True)
    assert all(batch.schema.equals(frame.schema, check_metadata=True) for batch in frame.batches())
    assert all(batch.num_columns == 0 for batch in frame.batches(()))
    backwards = frame.names[::-1]
    assert frame.select(backwards).to_table().equals(first.select(list(backwards)))
    assert frame.take(np.arange(count)[::2]).to_table().equals(first.take(pa.array(np.arange(count)[::2])))
    assert frame.head(1).num_rows == min(count, 1)
    assert frame.identity == open_frame(path).identity
    assert len(frame.identity) == 64
    assert str(path) == frame.origin or name == "zip"
    assert path.read_bytes() == before
    if name not in ("idx", "tar", "txt", "text", "conll", "bio", "xml", "wiki"):
        assert first.to_pylist() == ROWS[:count]


@pytest.mark.parametrize("name", SAMPLES)
def test_other_content_has_another_identity(tmp_path: Path, name: str) -> None:
    SAMPLES[name](tmp_path / f"a.{name}", 3)
    SAMPLES[name](tmp_path / f"b.{name}", 4)
    assert open_frame(tmp_path / f"a.{name}").identity != open_frame(tmp_path / f"b.{name}").identity


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_what_is_not_of_the_format_is_refused_by_name(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / f"a.{name}"
    SAMPLES[name](path, 5)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"n,t\n1,x\n" * 80, "cut": whole[: len(whole) // 3]}[damage])
    with pytest.raises(DataError, match=rf"a\.{name}"):
        open_frame(path).to_table()


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_file_with_the_suffix_of_text_is_refused(tmp_path: Path, name: str) -> None:
    SAMPLES[name](tmp_path / "a.csv", 5)
    with pytest.raises(DataError, match=r"a.csv must be text.* data.format"):
        open_frame(tmp_path / "a.csv")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_format_may_be_given_instead_of_the_suffix(tmp_path: Path, name: str) -> None:
    SAMPLES[name](tmp_path / "a.unknown", 5)
    assert open_frame(tmp_path / "a.unknown", ReadSpec(format=name)).num_rows == 5
