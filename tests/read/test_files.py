"""Folders and archives of images, files named in cells, several files; hostile archives are refused."""

import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ceiba.base.errors import DataError
from ceiba.read import ReadSpec, attach_files, files, images, open_frame

Write = Callable[[str, str | bytes], Path]


def png(value: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((2, 2), value, np.uint8)).save(out, "PNG")
    return out.getvalue()


NAMES = {"train/cat/1.png": png(1), "train/cat/2.PNG": png(2), "train/dog/1.png": png(3)}


def pack(path: Path, members: dict[str, bytes]) -> Path:
    """A folder, zip or tar, by its suffix, of these files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    elif path.suffix:
        with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        path.mkdir()
        for name, content in members.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


FORMS = ["folder", "a.zip", "a.tar", "a.tar.gz", "a.tgz"]


@pytest.mark.parametrize("form", FORMS)
def test_class_folders(tmp_path: Path, form: str) -> None:
    hidden = {"train/.DS_Store": b"x", "__MACOSX/train/cat/._1.png": b"x", ".git/a.png": b"x"}
    if form == "folder":
        hidden.pop("__MACOSX/train/cat/._1.png")
    frame = open_frame(pack(tmp_path / form, NAMES | hidden))
    for _ in range(2):
        assert frame.to_table().to_pydict() == {
            "file": sorted(NAMES),
            "image": [NAMES[name] for name in sorted(NAMES)],
            "label": ["cat", "cat", "dog"],
        }
    assert frame.num_rows == 3
    assert frame.notes == ()
    assert frame.select(["label"]).to_table().to_pydict() == {"label": ["cat", "cat", "dog"]}
    assert frame.identity == open_frame(tmp_path / form).identity


@pytest.mark.parametrize("form", FORMS)
def test_images_without_folders_have_no_label_and_others_are_counted(tmp_path: Path, form: str) -> None:
    frame = open_frame(pack(tmp_path / form, {"b.png": png(1), "a.jpeg": png(2), "notes.md": b"x"}))
    assert frame.names == ("file", "image")
    assert frame.to_table().column("file").to_pylist() == ["a.jpeg", "b.png"]
    assert "1 files that are no images left out" in frame.notes[0]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_to_read_is_told(tmp_path: Path, form: str) -> None:
    with pytest.raises(DataError, match=r"must hold images.*Got no files"):
        open_frame(pack(tmp_path / form, {}))
    with pytest.raises(DataError, match=r"must hold images.*Got x.md"):
        open_frame(pack(tmp_path / ("2" + form), {"x.md": b"x"}))


def test_a_folder_whose_image_changes_has_another_identity(tmp_path: Path) -> None:
    folder = pack(tmp_path / "folder", NAMES)
    before = open_frame(folder).identity
    (folder / "train/cat/1.png").write_bytes(png(9))
    os.utime(folder / "train/cat/1.png", (1, 1))
    assert open_frame(folder).identity != before


@pytest.mark.parametrize("form", FORMS)
def test_a_source_that_changes_after_it_was_opened_is_an_error(tmp_path: Path, form: str) -> None:
    frame = open_frame(pack(tmp_path / form, NAMES))
    if form == "folder":
        (tmp_path / form / "train/cat/1.png").write_bytes(b"other")
        with pytest.raises(DataError, match=r"1.png must not change"):
            frame.to_table()
        (tmp_path / form / "train/cat/1.png").unlink()
    else:
        pack(tmp_path / form, {"other.png": png(5), "more.png": png(6)})
        if form in ("a.tar.gz", "a.tgz"):
            return  # read from its unpacked copy, which stays as it was hashed
    with pytest.raises(DataError, match=r"must not change"):
        frame.to_table()


def test_batches_of_images_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "BATCH_ROWS", 2)
    monkeypatch.setattr(images, "BATCH_BYTES", 250)
    sizes = [10, 10, 10, 100, 200, 1000, 10]
    members = {f"{place}.png": b"x" * size for place, size in enumerate(sizes)}
    frame = open_frame(pack(tmp_path / "folder", members))
    assert [batch.num_rows for batch in frame.batches()] == [2, 2, 1, 1, 1]


# --- archives that hold a table ---


@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_the_one_table_of_an_archive_is_read(tmp_path: Path, form: str) -> None:
    path = pack(tmp_path / form, {"data/t.csv": b"a,b\n1,x\n", "README.md": b"x"})
    assert open_frame(path).to_table().to_pylist() == [{"a": 1, "b": "x"}]
    assert open_frame(path).origin == f"{path}:data/t.csv"
    ragged = pack(tmp_path / ("3" + form), {"data/t.csv": b"a,b\n1,x\n1\n"})
    with pytest.raises(DataError, match=rf"3{form}:data/t.csv:3 must have 2 cells"):
        open_frame(ragged)
    two = pack(tmp_path / ("2" + form), {"t.csv": b"a\n1\n", "u.csv": b"a\n1\n"})
    with pytest.raises(DataError, match=r"must hold images or one table. Got t.csv, u.csv"):
        open_frame(two)


def test_a_folder_of_parts_is_one_table(tmp_path: Path) -> None:
    folder = pack(tmp_path / "folder", {"2.csv": b"b,a\nx,2.5\n", "1.csv": b"a,b\n1,y\n"})
    assert open_frame(folder).to_table().to_pylist() == [{"a": 1.0, "b": "y"}, {"a": 2.5, "b": "x"}]
    with pytest.raises(DataError, match="tables of one format"):
        open_frame(pack(tmp_path / "mixed", {"1.csv": b"a\n1\n", "2.json": b"[]"}))


# --- hostile archives ---


def zip_of(path: Path, change: Callable[[zipfile.ZipInfo], None], name: str = "a.png") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(name)
        change(info)
        archive.writestr(info, png(1))
    return path


def tar_of(path: Path, name: str, kind: bytes, target: str = "") -> Path:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        archive.addfile(info, io.BytesIO())
    return path


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/a.png", "C:/a.png", "..\\a.png", "\\a.png"])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    for form in ("a.zip", "a.tar", "a.tar.gz"):
        with pytest.raises(DataError, match=r"a name that leaves the archive"):
            open_frame(pack(tmp_path / form, {"ok.png": png(1), name: png(2)}))
    assert {path.name for path in tmp_path.iterdir()} <= {"a.zip", "a.tar", "a.tar.gz"}


def test_links_devices_and_encrypted_members_are_refused(tmp_path: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(DataError, match=r"member 'a.png' must be a plain file.*Got a link"):
        open_frame(zip_of(tmp_path / "link.zip", link))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        with pytest.raises(DataError, match="a link, a device or a file with holes"):
            open_frame(tar_of(tmp_path / "a.tar", "a.png", kind, "/etc/passwd"))
    path = zip_of(tmp_path / "locked.zip", lambda info: None)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="an encrypted file"):
        open_frame(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png(1))
        archive.writestr("a.png", png(2))
    with pytest.raises(DataError, match="two files of one name"):
        open_frame(tmp_path / "a.zip")


def test_bombs_are_refused_by_declared_and_by_actual_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FREE_BYTES", 100_000)
    zeros = bytes(10_000_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", zeros)
    with pytest.raises(DataError, match="10000000 bytes unpacked"):
        open_frame(tmp_path / "a.zip")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 500)  # declares less than it holds
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png"):
        open_frame(tmp_path / "b.zip").to_table()
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("a.png")
        info.size = len(zeros)
        tar.addfile(info, io.BytesIO(zeros))
    with pytest.raises(DataError, match="times its packed size"):
        open_frame(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("form", ["a.zip", "a.tar", "a.tar.gz"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_damaged_archives(tmp_path: Path, form: str, damage: str) -> None:
    path = pack(tmp_path / form, {f"{place}.png": os.urandom(3000) for place in range(5)})
    whole = path.read_bytes()
    middle = whole.index(b"2.png") + 600 if form != "a.tar.gz" else len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    path.write_bytes(
        {"cut": whole[: len(whole) // 2], "flip": flipped, "empty": b"", "other": b"a,b\n1,2\n" * 99}[damage]
    )
    if form == "a.tar" and damage == "flip":
        return  # a tar has no checksum of contents: the identity of the frame alone tells the change
    with pytest.raises(DataError, match=r"a\.(zip|tar|tar.gz)"):
        open_frame(path).to_table()


def test_a_member_whose_bytes_are_not_what_they_were_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", NAMES)
    data = path.read_bytes()
    spot = data.index(b"train/dog/1.png") + len("train/dog/1.png") + 20
    path.write_bytes(data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :])
    with pytest.raises(DataError, match=r"member train/dog/1.png must be whole"):
        open_frame(path).to_table()


# --- files that cells name ---


@pytest.mark.parametrize("form", FORMS)
def test_cells_become_the_bytes_of_the_files_they_name(tmp_path: Path, form: str) -> None:
    path = pack(tmp_path / form, {"img/one.png": b"1", "img/two.png": b"2"})
    cells = ["img/one.png", "two.png", None, "./img/two.png", r"D:\data\img\one.png", "one", "two"]
    frame = attach_files(open_frame({"f": cells, "n": list(range(7))}), ["f"], path)
    assert frame.to_table().column("f").to_pylist() == [b"1", b"2", None, b"2", b"1", b"1", b"2"]
    assert frame.select(["n"]).to_table().column("n").to_pylist() == list(range(7))
    assert frame.schema.field("f").type == pa.binary()
    assert attach_files(frame, ["f"], path) is frame


def test_a_bare_name_that_two_files_share_names_none(tmp_path: Path) -> None:
    path = pack(tmp_path / "folder", {"a/x.png": b"1", "b/x.png": b"2"})
    with pytest.raises(DataError, match="row 1, column 'f' must name a file"):
        attach_files(open_frame({"f": ["x.png"]}), ["f"], path)


def test_absent_files_are_named_or_skipped_and_counted(tmp_path: Path) -> None:
    path = pack(tmp_path / "folder", {"one.png": b"1", "two.png": b"2"})
    frame = open_frame({"f": ["one.png", "oen.png", None, "../../etc/passwd", "two.png"]})
    with pytest.raises(
        DataError, match=r"row 2, column 'f' must name a file of .*Got 'oen.png'.*'one.png'.*damaged: skip"
    ):
        attach_files(frame, ["f"], path)
    kept = attach_files(frame, ["f"], path, damaged="skip")
    assert kept.to_table().column("f").to_pylist() == [b"1", None, b"2"]
    assert any("2 rows skipped" in note for note in kept.notes)


def test_files_beside_a_table_are_found_and_their_columns_told(tmp_path: Path, write: Write) -> None:
    pack(tmp_path / "pictures.zip", {"one.png": png(1), "two.png": png(2)})
    table = write("t.csv", "name,picture,n\nsue,one.png,1\nbob,two.png,2\n")
    frame = open_frame(table, ReadSpec(files="pictures.zip"))
    assert frame.to_table().to_pylist()[1] == {"name": "bob", "picture": png(2), "n": 2}
    assert any("picture hold the files of" in note for note in frame.notes)
    with pytest.raises(DataError, match="must have a column that names files"):
        open_frame(write("u.csv", "name,n\nsue,1\n"), ReadSpec(files="pictures.zip"))
    with pytest.raises(DataError, match=r"must be a folder, a zip or a tar. Got nothing"):
        open_frame(table, ReadSpec(files="nowhere.zip"))


# --- several files, and paths that are wrong ---


def test_patterns_and_lists(write: Write, tmp_path: Path) -> None:
    write("p-1.csv", "a,b\n1,x\n")
    write("p-2.csv", "b,a\n,2.5\n")
    write("p-3.csv", "a,b\n,y\n,z\n")
    frame = open_frame(str(tmp_path / "p-*.csv"))
    assert frame.to_table().to_pydict() == {"a": [1.0, 2.5, None, None], "b": ["x", None, "y", "z"]}
    assert frame.num_rows == 4
    assert frame.identity == open_frame([tmp_path / f"p-{n}.csv" for n in (1, 2, 3)]).identity
    assert frame.identity != open_frame([tmp_path / f"p-{n}.csv" for n in (1, 3, 2)]).identity
    assert frame.select(["b"]).to_table().column("b").to_pylist() == ["x", None, "y", "z"]
    assert frame.take(np.array([1, 3])).to_table().column("b").to_pylist() == [None, "z"]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("a,bb\n1,x\n", r"p-2.csv must have the columns of .*p-1.csv. Got none of the name 'b'. Did you mean 'bb'"),
        ("a,b,c\n1,x,2\n", r"p-2.csv must have the columns of .*p-1.csv. Got c besides"),
        ("a,b\nx,y\n", r"p-2.csv column 'a' must be int64 as in .*p-1.csv. Got string"),
    ],
)
def test_a_file_that_does_not_fit_is_named(write: Write, tmp_path: Path, second: str, words: str) -> None:
    write("p-1.csv", "a,b\n1,x\n")
    write("p-2.csv", second)
    with pytest.raises(DataError, match=words):
        open_frame(str(tmp_path / "p-*.csv"))


def test_paths_that_are_wrong(write: Write, tmp_path: Path) -> None:
    path = write("train.csv", "a\n1\n")
    with pytest.raises(
        DataError, match=r"trian.csv must be a file or a folder. Got nothing of that name. Did you mean 'train.csv'"
    ):
        open_frame(tmp_path / "trian.csv")
    with pytest.raises(DataError, match=r"Got no folder .*nowhere"):
        open_frame(tmp_path / "nowhere" / "a.csv")
    with pytest.raises(DataError, match=r"data must be a path.*File name too long"):
        open_frame("a,b\n" * 5000)
    with pytest.raises(DataError, match=r"data must be a path.*null byte"):
        open_frame("a\0.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe.csv must be a plain file"):
        open_frame(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"must match a file. Got none"):
        open_frame(str(tmp_path / "*.parquet"))
    with pytest.raises(DataError, match=r"must have a known format. Got 'xyz'. Set data.format to one of csv, tsv"):
        open_frame(write("a.xyz", "x"))
    with pytest.raises(DataError, match=r"Got a name without a suffix"):
        open_frame(write("plain", "x"))
    with pytest.raises(DataError, match=r"must have a known format. Got 'cvs'"):
        open_frame(path, ReadSpec(format="cvs"))
    assert open_frame(write("plain2", "a,b\n1,2\n"), ReadSpec(format="csv")).num_rows == 1


def test_a_name_with_pattern_letters_that_exists_is_that_file(write: Write) -> None:
    assert open_frame(str(write("a[1].csv", "a\n1\n"))).num_rows == 1
