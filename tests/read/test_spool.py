"""The spool: reused by content and options, rebuilt when damaged, bounded; hashes are remembered only while safe."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ceiba.base.errors import CeibaError, DataError
from ceiba.base.files import MARK
from ceiba.read import ReadSpec, cache, content, content_hash, delimited, open_frame, spool

Write = Callable[[str, str | bytes], Path]
CSV = "a,b\n1,x\n2,y\n"


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "spools").iterdir())


def count_builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    built: list[int] = []
    write = delimited._Build.write
    monkeypatch.setattr(delimited._Build, "write", lambda self, target: built.append(1) or write(self, target))
    return built


def test_equal_content_and_options_are_built_once(
    write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = count_builds(monkeypatch)
    first = open_frame(write("a.csv", CSV))
    again = open_frame(write("sub/b.csv", CSV))
    assert first.identity == again.identity
    assert len(built) == 1
    assert again.notes == first.notes
    open_frame(write("a.csv", CSV), ReadSpec(header=False))
    open_frame(write("a.csv", CSV + "3,z\n"))
    assert len(built) == 3
    open_frame(write("a.csv", CSV), ReadSpec(damaged="skip", table="t"))  # options that do not touch a csv
    assert len(built) == 3


@pytest.mark.parametrize("damage", ["cut", "gone", "entry", "garbage"])
def test_a_damaged_entry_is_built_again(write: Write, own_cache: Path, damage: str) -> None:
    path = write("a.csv", CSV)
    rows = open_frame(path).to_table().to_pylist()
    (entry,) = entries(own_cache)
    table = entry / spool.TABLE
    if damage == "cut":
        table.write_bytes(table.read_bytes()[:-10])
    elif damage == "gone":
        table.unlink()
    elif damage == "entry":
        (entry / spool.ENTRY).write_text("{")
    else:
        table.write_bytes(b"x" * table.stat().st_size)
    assert open_frame(path).to_table().to_pylist() == rows


def test_a_build_that_fails_leaves_nothing(write: Write, own_cache: Path) -> None:
    with pytest.raises(DataError):
        open_frame(write("a.csv", "a,b\n1,2\n3\n"))
    assert not (own_cache / "spools").exists() or entries(own_cache) == []


def test_a_frame_outlives_the_cache(write: Write, own_cache: Path) -> None:
    frame = open_frame(write("a.csv", CSV))
    rows = frame.to_table().to_pylist()
    for entry in entries(own_cache):
        for file in entry.iterdir():
            file.unlink()
    assert frame.to_table().to_pylist() == rows


def test_notes_name_the_file_that_was_opened(write: Write, own_cache: Path) -> None:
    one, two = write("one.csv", "1,x\n2,y\n"), write("two.csv", "1,x\n2,y\n")
    assert open_frame(one).notes[0].startswith(f"{one}: no header row")
    assert open_frame(two).notes[0].startswith(f"{two}: no header row")
    assert len(entries(own_cache)) == 1


def test_a_cache_that_cannot_be_written(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "RACE_S", 0.0)
    blocked = write("file", "not a folder")
    monkeypatch.setenv("CEIBA_CACHE", str(blocked / "cache"))
    path = write("a.csv", CSV)
    time.sleep(0.02)
    assert content_hash(path) == content_hash(path)  # not remembered, and no fault
    with pytest.raises(CeibaError, match=r"cache must be writable.*set CEIBA_CACHE"):
        open_frame(path)


def test_a_file_that_cannot_be_read(write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(content, "digest", fail)
    with pytest.raises(DataError, match=r"a.csv must be readable. Got Permission denied"):
        open_frame(write("a.csv", CSV))


PEAK = """
import sys, threading, time
from ceiba.read import decode, json_rows, open_frame, rows as row_cuts
decode.BLOCK_BYTES = row_cuts.SEGMENT_BYTES = 1 << 17  # small, so that small files are many of them
json_rows.CHUNK_ROWS = 1024
peak, done = 0, False
def anonymous():
    return sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(("RssAnon", "RssShmem")))
def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)
open_frame(sys.argv[2]).to_table()
before = anonymous()
thread = threading.Thread(target=watch)
thread.start()
frame = open_frame(sys.argv[1])
rows = sum(batch.num_rows for batch in frame.batches())
done = True
thread.join()
print(rows, peak - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is read from /proc")
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_memory_does_not_grow_with_rows(tmp_path: Path, own_cache: Path, name: str) -> None:
    line = {
        "a.csv": '12345,0.25,"some words, here",x\n',
        "a.jsonl": '{"a": 12345, "b": "some words"}\n',
        "a.txt": "some words\n" * 3,
    }
    block = line[name] * 10_000
    peaks = []
    (tmp_path / f"warm-{name}").write_text(line[name] * 2000)
    for blocks in (10, 60):
        path = tmp_path / f"{blocks}-{name}"
        with path.open("w") as file:
            file.writelines(block for _ in range(blocks))
        command = [sys.executable, "-c", PEAK, str(path), str(tmp_path / f"warm-{name}")]
        own = os.environ | {"CEIBA_CACHE": str(tmp_path / str(blocks))}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=own)
        rows, peak_kb = map(int, done.stdout.split())
        assert rows == blocks * block.count("\n")
        peaks.append(peak_kb)
    growth_bytes = (max(peaks) - min(peaks)) * 1024
    assert growth_bytes < 0.3 * path.stat().st_size * 5 / 6, peaks


def test_the_cache_is_bounded_and_keeps_the_newest(
    write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_frame(write("old.csv", CSV))
    kept = open_frame(write("kept.csv", CSV + "3,z\n"))
    now_s = time.time()
    os.utime(own_cache / "spools" / old.identity, (now_s - 100, now_s - 100))
    os.utime(own_cache / "spools" / kept.identity, (now_s - 50, now_s - 50))
    half_done = own_cache / "spools" / f"{MARK}x"
    half_done.mkdir()
    os.utime(half_done, (now_s - 2 * cache.ABANDONED_S,) * 2)
    fresh = own_cache / "spools" / f"{MARK}y"
    fresh.mkdir()
    size_bytes = sum(file.stat().st_size for file in (own_cache / "spools" / kept.identity).iterdir())
    monkeypatch.setenv("CEIBA_CACHE_BYTES", str(int(size_bytes * 1.5)))  # one entry stays, and the new one
    new = open_frame(write("new.csv", CSV + "4,z\n"))
    assert {entry.name for entry in entries(own_cache)} == {kept.identity, new.identity, fresh.name}
    monkeypatch.setenv("CEIBA_CACHE_BYTES", "1")
    last = open_frame(write("last.csv", CSV + "5,z\n"))
    assert {entry.name for entry in entries(own_cache)} == {last.identity, fresh.name}


def test_a_file_changed_right_after_it_was_hashed_is_hashed_again(write: Write, own_cache: Path) -> None:
    path = write("a.csv", "a\n1\n")
    stamps = path.stat()
    first = content_hash(path)
    path.write_bytes(b"a\n2\n")
    os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert content_hash(path) != first


def test_a_file_changed_within_the_clocks_step_is_hashed_again(
    write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = time.time_ns()
    monkeypatch.setattr(content, "stamp", lambda path: [4, now_ns, now_ns, 7])
    path = write("a.csv", "a\n1\n")
    first = content_hash(path)
    path.write_bytes(b"a\n2\n")
    assert content_hash(path) != first


def test_an_old_file_is_hashed_once(write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "RACE_S", 0.0)
    path = write("a.csv", CSV)
    time.sleep(0.02)
    hashed: list[Path] = []
    digest = content.digest
    monkeypatch.setattr(content, "digest", lambda path: hashed.append(path) or digest(path))
    assert content_hash(path) == content_hash(path)
    assert len(hashed) == 1
    path.write_bytes(CSV.encode() + b"3,z\n")
    content_hash(path)
    assert len(hashed) == 2
    (memory,) = (own_cache / "hashes").iterdir()
    memory.write_text("{")
    content_hash(path)
    assert len(hashed) == 3


def test_a_file_that_changes_while_it_is_hashed(write: Write, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.csv", CSV)

    def grow(found: Path) -> str:
        found.write_bytes(b"longer" * 9)
        return "0" * 64

    monkeypatch.setattr(content, "digest", grow)
    with pytest.raises(DataError, match="must not change while it is read"):
        content_hash(path)


def test_hashes_are_forgotten_when_very_many(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_HASHES", 10)
    (own_cache / "hashes").mkdir(parents=True)
    for number in range(11):
        (own_cache / "hashes" / str(number)).touch()
        os.utime(own_cache / "hashes" / str(number), (number, number))
    content.trim_hashes()
    assert sorted(int(path.name) for path in (own_cache / "hashes").iterdir()) == [5, 6, 7, 8, 9, 10]


OPEN = """
import sys, time
from ceiba.read import open_frame
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
print(open_frame(sys.argv[1]).to_table().num_rows)
"""


def test_of_two_builders_one_wins(write: Write, own_cache: Path) -> None:
    path = write("a.csv", "a,b\n" + "1,x\n" * 200_000)
    command = [sys.executable, "-c", OPEN, str(path), str(time.time() + 1.5)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [child.communicate(timeout=60)[0] for child in children] == ["200000\n"] * 3
    assert len(entries(own_cache)) == 1
