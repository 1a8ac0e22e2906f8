"""Files of lines side by side: line n of each is row n."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from ceiba.base.errors import DataError
from ceiba.prepare import DataSpec
from ceiba.read import Frame, are_lines, open_frame
from ceiba.read.beside import side_by_side
from ceiba.recipe import check_recipe, read_recipe


def test_lines_stand_side_by_side_as_rows(tmp_path: Path, own_cache: Path) -> None:
    lines = {"en": [f'sentence {n}, "quoted"' for n in range(5000)], "de": ["", *(f"Satz {n}\t;" for n in range(4999))]}
    (tmp_path / "some.en").write_text("\n".join(lines["en"]) + "\n")
    (tmp_path / "some.de.gz").write_bytes(gzip.compress("\r\n".join(lines["de"]).encode()))
    source = {"en": str(tmp_path / "some.en"), "de": tmp_path / "some.de.gz"}
    frame = open_frame(source)
    assert frame.to_table().to_pydict() == lines
    assert frame.select(["de"]).to_table().to_pydict() == {"de": lines["de"]}
    assert not are_lines(frame, "en")
    assert frame.identity != open_frame({"en": source["de"], "de": source["en"]}).identity


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "a").write_text("one\ntwo\n")
    (tmp_path / "b").write_text("eins\n")
    with pytest.raises(DataError, match=r"b must have a line for each of .*a\. Got 1 and 2 lines"):
        open_frame({"en": tmp_path / "a", "de": tmp_path / "b"})
    with pytest.raises(DataError, match="must be a file"):
        open_frame({"en": tmp_path / "a", "de": tmp_path / "c"})


def test_a_recipe_names_them_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("data: {train: {en: x.en, de: x.de}}\noutputs: {de: text}\ninputs: {en: text}\n")
    recipe = read_recipe(tmp_path / "own.yaml")
    assert recipe.data.train == {"en": str(tmp_path / "x.en"), "de": str(tmp_path / "x.de")}
    written = recipe.model_copy(update={"name": None}).to_plain()["data"]["train"]
    assert written == recipe.data.train
    assert DataSpec(train=written).train == written
    assert (
        check_recipe({"data": {"train": {"en": "x.en", "de": "x.de"}}, "outputs": {"de": "text"}}, {}, "r").title == "x"
    )


def test_files_whose_batches_differ_are_cut_alike() -> None:
    def frame(name: str, sizes: tuple[int, ...]) -> Frame:
        rows = pa.array([f"{name} {place}" for place in range(sum(sizes))])
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        batches = [
            pa.record_batch({name: rows[start : start + size]}) for start, size in zip(starts, sizes, strict=True)
        ]
        return open_frame(pa.Table.from_batches(batches))

    one = side_by_side({"a": frame("a", (3, 1, 5)), "b": frame("b", (2, 6, 1))})
    assert one.to_table().to_pydict() == {name: [f"{name} {place}" for place in range(9)] for name in ("a", "b")}
    assert len(list(one.batches())) == 5
