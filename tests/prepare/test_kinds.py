"""Kinds: told from what columns hold, with every column that is left out named."""

import datetime
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ceiba.base.errors import DataError
from ceiba.prepare import infer_kinds
from ceiba.prepare import summary as summaries
from ceiba.prepare.summary import SKETCH, summarize
from ceiba.read import ReadSpec, open_frame

RNG = np.random.default_rng(0)
ROWS = 200


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "PNG")
    return file.getvalue()


WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
SENTENCES = [" ".join(RNG.choice(WORDS, 9)) + f" {row}" for row in range(ROWS)]
CASES: dict[str, tuple[Any, str]] = {
    "price": (RNG.random(ROWS), "number"),
    "rooms": (RNG.integers(1, 9, ROWS), "number"),
    "zipcode": (RNG.integers(10_000, 99_999, ROWS), "number"),
    "paid": (RNG.permutation(ROWS) * 7, "number"),
    "flag": (RNG.integers(0, 2, ROWS), "binary"),
    "one or two": (RNG.integers(1, 3, ROWS), "number"),
    "truth": (RNG.random(ROWS) < 0.5, "binary"),
    "sex": (RNG.choice(["f", "m"], ROWS), "binary"),
    "city": (RNG.choice(["Oslo", "Rome", "Lima"], ROWS), "category"),
    "street": ([f"street{row // 2}" for row in range(ROWS)], "category"),
    "long label": (RNG.choice(["a label with many words in it", "another one of the kind", "more"], ROWS), "category"),
    "review": (SENTENCES, "text"),
    "title": (["深度学习方法研究" + chr(0x4E00 + row) for row in range(ROWS)], "text"),
    "spelled": ([f"{row / 3:.2f}" for row in RNG.permutation(ROWS)], "number"),
    "day": ([datetime.date(2020, 1, 1) + datetime.timedelta(days=int(row)) for row in range(ROWS)], "date"),
    "iso": ([f"2020-01-{1 + row % 28:02d}" for row in range(ROWS)], "date"),
    "european": ([f"{1 + row % 28:02d}.01.2020" for row in range(ROWS)], "date"),
    "moment": (np.datetime64("2020-01-01") + np.arange(ROWS).astype("m8[s]"), "date"),
    "tags": ([["a", "b"][: row % 3] for row in range(ROWS)], "set"),
    "embedding": ([[0.5, 1.0]] * ROWS, "vector"),
    "picture": ([png()] * ROWS, "image"),
    "row": (np.arange(ROWS) * 3 + 7, "id"),
    "user_id": (RNG.permutation(ROWS), "id"),
    "customerID": (RNG.permutation(ROWS), "id"),
    "uuid": ([f"x{row * 7919 % 10007:05d}" for row in range(ROWS)], "id"),
    "mail": ([f"name{row}@example.org" for row in RNG.permutation(ROWS)], "id"),
    "file": ([f"images/{row}.JPG" for row in range(ROWS)], "id"),
    "nothing": ([None] * ROWS, "id"),
    "constant": (["x"] * ROWS, "id"),
    "constant with gaps": (["x", None] * (ROWS // 2), "category"),
    "series": ([[1.0] * (1 + row % 3) for row in range(ROWS)], "id"),
    "bytes": ([b"12345"] * ROWS, "id"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_kind(name: str) -> None:
    values, expected = CASES[name]
    kinds, notes = infer_kinds(open_frame({name: values, "y": RNG.random(ROWS)}), "y")
    assert kinds[name] == expected
    assert bool(notes) == (expected == "id")
    if notes:
        assert f"'{name}'" in notes[0]
    if name == "file":
        assert "data.files" in notes[0]


def test_pixels_are_an_image() -> None:
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(16, dtype=np.uint8)), 4)
    schema = pa.schema([pa.field("pixels", values.type, metadata={"shape": "2,2,1"})])
    assert infer_kinds(open_frame(pa.Table.from_arrays([values], schema=schema)))[0] == {"pixels": "image"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["<=50K", ">50K"] * 100, "binary"),
        (["a", "b", "c", "d"] * 50, "category"),
        ([True, False] * 100, "binary"),
        ([0, 1, 2, 3, 4] * 40, "category"),
        ([1.0, 2.0, 3.0, 4.0] * 50, "category"),
        ([1, 2] * 100, "binary"),
        (["1", "2", "3", "4"] * 50, "category"),
        ([0.5, 1.5, 2.5, 3.5] * 50, "number"),
        (list(range(21)) * 10, "number"),
        (RNG.random(200), "number"),
        (RNG.integers(0, 10**6, 200), "number"),
        ([100, 250, 300], "number"),
        ([0, 1], "binary"),
        ([["a"], []] * 100, "set"),
        ([f"label {row}" for row in range(200)], "category"),
    ],
)
def test_targets(values: Any, expected: str) -> None:
    assert infer_kinds(open_frame({"y": values}), ["y"])[0] == {"y": expected}


def test_few_rows_are_no_ids() -> None:
    kinds, notes = infer_kinds(open_frame({"name": ["a", "b"], "size": [1, 2], "day": ["2020-01-01", "2020-01-02"]}))
    assert kinds == {"name": "category", "size": "number", "day": "date"}
    assert notes == ()


def test_no_rows() -> None:
    kinds, notes = infer_kinds(open_frame({"a": pa.array([], pa.int64())}))
    assert kinds == {"a": "id"}
    assert len(notes) == 1


def test_unknown_target() -> None:
    with pytest.raises(DataError, match=r"'incom'.*Did you mean 'income'"):
        infer_kinds(open_frame({"income": [1]}), ["incom"])


def test_summaries_do_not_depend_on_the_cut() -> None:
    columns = {
        "n": [None, *RNG.normal(5, 2, 5000), float("nan")],
        "i": [None, *RNG.integers(0, 50, 5000), None],
        "t": [None, *[f"größe {row % 300}" for row in range(5000)], ""],
        "u": [f"{row}" for row in range(5002)],
    }
    table = pa.table(columns)
    whole = summarize(open_frame(table))
    pieces = summarize(open_frame(pa.concat_tables([table.slice(at, 61) for at in range(0, 5002, 61)])))
    for name, one in whole.items():
        other = pieces[name]
        for part in ("rows", "missing", "distinct", "is_exact", "low", "high", "is_whole", "is_rising", "words"):
            assert getattr(one, part) == getattr(other, part), (name, part)
        if name != "u":
            assert one.top(5000) == other.top(5000) or name == "n"
    values = np.array(columns["n"][1:-1])
    assert whole["n"].mean == pytest.approx(values.mean())
    assert pieces["n"].mean == pytest.approx(values.mean())
    assert pieces["n"].std == pytest.approx(values.std())
    assert whole["n"].missing == 2


@pytest.mark.parametrize("distinct", [SKETCH - 1, SKETCH, SKETCH * 30])
def test_distinct_values_are_counted_or_estimated(distinct: int) -> None:
    one = summarize(open_frame({"x": np.arange(distinct * 2) % distinct * 1.5}))["x"]
    assert one.is_exact == (distinct <= SKETCH)
    assert abs(one.distinct - distinct) <= (0 if distinct <= SKETCH else 0.06 * distinct)


def test_a_saw_does_not_rise() -> None:
    tooth = pa.table({"x": np.arange(100)})
    assert summarize(open_frame(tooth))["x"].is_rising
    assert not summarize(open_frame(pa.concat_tables([tooth, tooth])))["x"].is_rising


def test_counts_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MOST_VALUES", 100)
    table = pa.table({"x": [f"v{row}" for row in range(5000)] + ["often"] * 5000})
    one = summarize(open_frame(pa.concat_tables([table.slice(at, 1000) for at in range(9000, -1, -1000)])))["x"]
    assert len(one.counts) == 100
    assert one.top(1) == [("often", 5000)]


def test_real_tables(data: Any) -> None:
    kinds, notes = infer_kinds(open_frame(data("petfinder_mini/petfinder-mini.csv")), "AdoptionSpeed")
    assert kinds["Description"] == "text"
    assert kinds["AdoptionSpeed"] == "category"
    assert kinds["Breed1"] == "category"
    assert kinds["Age"] == "number"
    assert [name for name, kind in kinds.items() if kind == "id"] == ["column_1"]
    kinds, notes = infer_kinds(open_frame(data("ames_housing/AmesHousing.csv")), "SalePrice")
    assert [note.split("'")[1] for note in notes] == ["Order", "PID"]
    assert kinds["SalePrice"] == "number"
    kinds, notes = infer_kinds(open_frame(data("cifar10_jpg/test.parquet")), "label")
    assert kinds == {"file": "id", "label": "category", "image": "image"}
    options = ReadSpec(header=("title", "label"), format="tsv")
    kinds, _ = infer_kinds(open_frame(data("thucnews_titles/dev.txt"), options), "label")
    assert kinds == {"title": "text", "label": "category"}
