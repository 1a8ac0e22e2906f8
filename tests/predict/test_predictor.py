"""The Predictor: any form in, the same form out, rows in their order, however they are cut and padded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ceiba.answers import BinaryAnswer, ClassesAnswer, LabelsAnswer, NumberAnswer
from ceiba.base.errors import BundleError, CeibaError, DataError
from ceiba.bundle import open_bundle, write_bundle
from ceiba.clean import Cleaner
from ceiba.clean.numbers import Log1pSpec
from ceiba.clean.text import JoinSpec
from ceiba.fields import Encoded, Field, Fields, NumberSpec, Ragged, TextLayout
from ceiba.fields.columns import as_text
from ceiba.predict import Predictor
from ceiba.predict import predictor as predictor_module
from ceiba.read import open_frame


@dataclass(frozen=True)
class Letters(Field):
    """A text field for tests: one id a byte."""

    kind: ClassVar[str] = "text"

    def encode(self, column: pa.Array) -> Encoded:
        texts = [(value or "").encode() for value in as_text(column).to_pylist()]
        offsets = np.cumsum([0, *map(len, texts)])
        return {"ids": Ragged(np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int32), offsets)}

    def layout(self, name: str) -> TextLayout:
        return TextLayout(256, 1 << 20, weighted=False)


class Sums:
    """A backend that adds up what it is given, and remembers the shapes."""

    def __init__(self) -> None:
        self.shapes: list[dict[str, tuple[int, ...]]] = []

    def __call__(self, arrays: dict[str, Any]) -> dict[str, Any]:
        self.shapes.append({name: array.shape for name, array in arrays.items()})
        total = sum(array.astype(np.float64).sum(axis=1) for array in arrays.values())
        return {
            "price": total,
            "sold": total,
            "kind": np.stack([total, -total, total * 0], axis=1),
            "tags": np.stack([total, -total], axis=1),
        }


ANSWERS = {
    "price": NumberAnswer(0.0, 1.0),
    "sold": BinaryAnswer(("no", "yes")),
    "kind": ClassesAnswer(("a", "b", "c")),
    "tags": LabelsAnswer(("x", "y")),
}


def make(inputs: dict[str, Field] | None = None, **changes: Any) -> Predictor:
    number = NumberSpec(normalize="none", bins=None, indicator=False).fit([pa.array([1.0, 2.0])])
    return replace(Predictor(Fields(inputs or {"area": number, "rooms": number}, {}), ANSWERS, Sums()), **changes)


def expected(prices: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "price": price,
            "sold": "yes" if price >= 0 else "no",
            "kind": "a" if price > 0 else "b" if price < 0 else "a",
            "tags": (["x"] if price >= 0 else []) + (["y"] if price <= 0 else []),
        }
        for price in prices
    ]


ROWS = [{"area": 1, "rooms": 2.5, "note": "?"}, {"rooms": -7, "area": 1.5, "note": 3}, {"area": None, "rooms": "4"}]
PRICES = [3.5, -5.5, 5.5]
TABLE = {"area": [1, 1.5, None], "rooms": [2.5, -7.0, 4.0], "note": [["?"], [3], None]}


def core(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ANSWERS} for row in rows]


def test_list_of_rows_with_mixed_and_needless_values() -> None:
    found = make().predict(ROWS)
    assert core(found) == expected(PRICES)
    assert found[0]["sold_probability"] == pytest.approx(1 / (1 + np.exp(-3.5)))


def test_one_row() -> None:
    found = make().predict({"area": 1, "rooms": 2.5, "note": [1, 2]})
    assert core([found]) == expected([3.5])
    assert make().predict({"area": None, "rooms": 1})["price"] == 2.5


def test_columns() -> None:
    found = make().predict({"area": [1, 2], "rooms": np.array([1.0, 2.0]), "note": object()})
    assert found["price"] == [2.0, 4.0]
    assert found["sold"] == ["yes", "yes"]


def test_tables_come_back_as_they_went() -> None:
    predictor = make()
    arrow = pa.table({name: values for name, values in TABLE.items() if name != "note"})
    frame = pd.DataFrame(TABLE, index=[7, 8, 9])
    answered = predictor.predict(frame)
    assert isinstance(answered, pd.DataFrame)
    assert list(answered.index) == [7, 8, 9]
    assert list(answered["price"]) == PRICES
    polars = pl.DataFrame(arrow)
    for rows in (polars, polars.lazy()):
        answered = predictor.predict(rows)
        assert isinstance(answered, pl.DataFrame)
        assert answered["price"].to_list() == PRICES
    assert predictor.predict(arrow)["price"].to_pylist() == PRICES
    batch = predictor.predict(arrow.to_batches()[0])
    assert isinstance(batch, pa.RecordBatch)
    assert core(batch.to_pylist()) == expected(PRICES)
    assert predictor.predict(open_frame(arrow))["price"].to_pylist() == PRICES


class Dataset:
    """As much of Hugging Face's class as is asked of it."""

    def __init__(self, table: pa.Table):
        self.table = table
        self.column_names = table.schema.names

    def select_columns(self, names: list[str]) -> "Dataset":
        return Dataset(self.table.select(names))

    def with_format(self, form: str) -> "Dataset":
        assert form == "arrow"
        return self

    def __getitem__(self, rows: slice) -> pa.Table:
        return self.table


Dataset.__module__ = "datasets.arrow_dataset"


def test_datasets_come_back_as_datasets() -> None:
    answered = make().predict(Dataset(pa.table({"area": [1, 2], "rooms": [1.0, 2.0], "note": [None, None]})))
    assert isinstance(answered, Dataset)
    assert answered.table["price"].to_pylist() == [2.0, 4.0]


def test_a_path(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("rooms,area\n2.5,1\n-7,1.5\n4,\n")
    assert make().predict(tmp_path / "rows.csv")["price"].to_pylist() == PRICES


def test_no_rows() -> None:
    predictor = make()
    columns = {"area": [], "rooms": []}
    assert predictor.predict(columns)["price"] == []
    assert len(predictor.predict(pd.DataFrame(columns))) == 0
    assert predictor.predict(pa.table(columns))["kind"].to_pylist() == []
    assert predictor.predict(pa.RecordBatch.from_pydict(columns)).num_rows == 0
    assert {name: logits.shape for name, logits in predictor.logits(open_frame(columns)).items()} == {
        "price": (0,),
        "sold": (0,),
        "kind": (0, 3),
        "tags": (0, 2),
    }
    assert predictor.backend.shapes == []  # type: ignore[attr-defined]


def test_missing_column_names_the_nearest() -> None:
    for rows in ([{"area": 1, "room": 2}], {"area": [1], "room": [2]}, pd.DataFrame({"area": [1], "room": [2]})):
        with pytest.raises(DataError, match=r"'rooms'.*Did you mean 'room'"):
            make().predict(rows)
    with pytest.raises(DataError, match=r"'rooms'.*Did you mean 'room'"):
        make().logits(open_frame({"area": [1], "room": [2]}))


def test_what_is_no_table_is_refused() -> None:
    for rows in (3, None, [1, 2], object()):
        with pytest.raises(DataError):
            make().predict(rows)


def test_a_bad_value_is_named_with_its_rows() -> None:
    with pytest.raises(DataError, match=r"row 2, column 'area'.*Got 'x'"):
        make().predict([{"area": "1", "rooms": 1}, {"area": "x", "rooms": 1}])


def test_padding_and_sorting_change_nothing() -> None:
    rng = np.random.default_rng(0)
    texts = ["é" * int(length) for length in rng.integers(0, 40, 1000)] + [None, "", "x" * 200]
    frame = open_frame({"text": texts})
    whole = make({"text": Letters()}).logits(frame)
    for batch_rows in (1, 7, 64):
        predictor = make({"text": Letters()}, batch_rows=batch_rows)
        found = predictor.logits(frame)
        for name, logits in whole.items():
            assert (found[name] == logits).all()
        shapes = predictor.backend.shapes  # type: ignore[attr-defined]
        assert max(shape["text.ids"][0] for shape in shapes) == batch_rows
        assert sum(shape["text.ids"][0] for shape in shapes) == len(texts)
    # sorted within a window, most batches are no wider than they need to be
    area = sum(rows * width for rows, width in (shape["text.ids"] for shape in shapes))
    cuts = [[len((text or "").encode()) for text in texts[start : start + 64]] for start in range(0, len(texts), 64)]
    unsorted = sum(len(lengths) * max(lengths) for lengths in cuts)
    assert area < 0.8 * unsorted


def test_batches_are_smaller_where_rows_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "BATCH_TOKENS", 100)
    texts = ["a" * length for length in (1, 2, 3, 50, 51, 500, 4)] * 20
    predictor = make({"text": Letters()}, batch_rows=16)
    assert predictor.logits(open_frame({"text": texts}))["price"].tolist() == [97.0 * len(text) for text in texts]
    shapes = [shape["text.ids"] for shape in predictor.backend.shapes]  # type: ignore[attr-defined]
    assert max(rows for rows, _ in shapes) == 16
    assert all(rows * width <= 100 or rows == 1 for rows, width in shapes)
    assert len(shapes) < len(texts)
    monkeypatch.setattr(predictor_module, "BATCH_PIXELS", 30)
    pixels = np.arange(2 * 2 * 3 * 5, dtype=np.uint8).reshape(5, 2, 2, 3)

    def backend(arrays: dict[str, Any]) -> dict[str, Any]:
        assert len(arrays["image.pixels"]) <= 2
        total = arrays["image.pixels"].astype(np.float64).reshape(-1, 12).sum(axis=1)
        return dict.fromkeys(ANSWERS, total)

    found = make({"text": Letters()}, backend=backend).run({"image.pixels": pixels})
    assert found["price"].tolist() == pixels.reshape(5, -1).sum(axis=1).tolist()


def test_rows_stay_in_order_over_many_windows() -> None:
    values = np.arange(1000.0)
    frame = open_frame({"area": values, "rooms": values * 0, "key": values.astype(int)})
    predictor = make(batch_rows=4, ids=("key",))
    assert (predictor.logits(frame)["price"] == values).all()
    batches = list(predictor.stream(frame, keep=("area",)))
    assert len(batches) > 10
    table = pa.Table.from_batches(batches)
    assert table["key"].to_pylist() == list(range(1000))
    assert (table["area"].to_numpy() == table["price"].to_numpy()).all()
    assert table.schema.names[:3] == ["key", "area", "price"]


def test_kept_columns_must_exist_and_truths_stand_beside_answers() -> None:
    frame = open_frame({"area": [1.0], "rooms": [1.0], "price": [0.0]})
    with pytest.raises(DataError, match="Did you mean 'area'"):
        list(make().stream(frame, keep=("aera",)))
    (found,) = make().stream(frame, keep=("price",))
    assert found.schema.names[:2] == ["price_truth", "price"]
    assert found.column("price_truth").to_pylist() == [0.0]
    assert found.column("price").to_pylist() != [0.0]


def test_ids_are_passed_through_where_there_are_any() -> None:
    predictor = make(ids=("key",))
    assert predictor.predict([{"area": 1, "rooms": 1, "key": "k"}])[0]["key"] == "k"
    assert "key" not in predictor.predict([{"area": 1, "rooms": 1}])[0]


def test_serving_cleans_as_training_did_and_only_once() -> None:
    cleaner = Cleaner([Log1pSpec(columns=("area",))])
    predictor = make(cleaner=cleaner)
    assert predictor.predict([{"area": np.e - 1, "rooms": 0}])[0]["price"] == pytest.approx(1)
    joined = make({"text": Letters()}, cleaner=Cleaner([JoinSpec(columns={"text": ("title", "body")})]))
    assert joined.predict([{"title": "a", "body": "b"}])[0]["price"] == sum(b"a b")
    assert joined.predict([{"text": "a b"}])[0]["price"] == sum(b"a b")
    with pytest.raises(DataError, match="'text'"):
        joined.predict([{"title": "a"}])


def test_a_backend_that_breaks_its_contract_is_named() -> None:
    with pytest.raises(BundleError, match="'price'"):
        make(backend=lambda arrays: {}).predict(ROWS)
    with pytest.raises(CeibaError, match="each of 3 rows"):
        make(backend=lambda arrays: dict.fromkeys(ANSWERS, np.zeros(2))).predict(ROWS)


def test_from_bundle(tmp_path: Path) -> None:
    number = NumberSpec(normalize="none", bins=None, indicator=False).fit([pa.array([1.0, 2.0])])
    fields = Fields({"area": number}, {})
    reading = {"header": ["area"], "missing": ["?"], "clean": [{"type": "log1p", "columns": ["area"]}], "ids": ["key"]}
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"reading": reading}, True),
        ({}, True),
        ({"reading": {"a": 1}}, False),
    ]
    for place, (meta, good) in enumerate(cases):
        write_bundle(
            tmp_path / str(place),
            kind="model",
            model={},
            answers={"price": NumberAnswer(0.0, 1.0).to_json()},
            fields_json=fields.to_json(),
            field_files=fields.files(),
            recipe_yaml="",
            weights=None,
            meta=meta,
        )
        bundle = open_bundle(tmp_path / str(place))
        if not good:
            with pytest.raises(BundleError):
                Predictor.from_bundle(bundle, Sums())
            continue
        predictor = Predictor.from_bundle(bundle, Sums())
        if meta:
            (tmp_path / "rows.csv").write_text("1\n?\n")
            assert predictor.predict(str(tmp_path / "rows.csv"))["price"].to_pylist()[0] == pytest.approx(np.log(2))
            assert predictor.ids == ("key",)
