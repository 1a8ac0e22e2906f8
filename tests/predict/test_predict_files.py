"""Files of answers: every format reads back, and a failure leaves nothing."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from ceiba.answers import LabelsAnswer, NumberAnswer
from ceiba.base.errors import DataError, InputError
from ceiba.fields import Fields, NumberSpec
from ceiba.predict import WRITERS, Predictor, predict_file
from ceiba.read import open_frame

NUMBER = NumberSpec(normalize="none", bins=None, indicator=False).fit([pa.array([1.0, 2.0])])


def backend(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    values = arrays["table.numbers"][:, 0]
    return {"price": values, "tags": np.stack([values, values], axis=1)}


PREDICTOR = Predictor(
    Fields({"area": NUMBER}, {}),
    {"price": NumberAnswer(0.0, 1.0), "tags": LabelsAnswer(("a", "b,c"))},
    backend,
    ids=("key",),
    batch_rows=2,
)


def source(rows: int) -> dict[str, list[object]]:
    return {"key": [f"größe {row}" for row in range(rows)], "area": list(np.arange(rows) - 1.0)}


@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize("rows", [0, 1, 100])
def test_every_format_reads_back(tmp_path: Path, suffix: str, rows: int) -> None:
    out = tmp_path / f"answers.{suffix}"
    given = pa.table(source(rows), schema=pa.schema([("key", pa.string()), ("area", pa.float64())]))
    assert predict_file(PREDICTOR, given, out) == rows
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    if suffix == "jsonl":
        found = [json.loads(line) for line in out.read_text().splitlines()]
    elif suffix in ("csv", "tsv"):
        table = pa_csv.read_csv(out, parse_options=pa_csv.ParseOptions(delimiter="," if suffix == "csv" else "\t"))
        assert table.schema.names[:3] == ["key", "price", "tags"]
        found = table.to_pylist()
    else:
        found = open_frame(out).to_table().to_pylist()
    assert [row["price"] for row in found] == [row - 1.0 for row in range(rows)]
    assert [row["key"] for row in found] == [f"größe {row}" for row in range(rows)]
    tags = "a;b,c" if suffix in ("csv", "tsv") else ["a", "b,c"]
    assert [row["tags"] for row in found][1:] == [tags] * max(rows - 1, 0)


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'parquet'"):
        predict_file(PREDICTOR, source(1), tmp_path / "x.parket")


def test_a_bad_row_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    out.write_text("old")
    (tmp_path / "rows.parquet").write_bytes(b"")
    rows = {"key": ["k"] * 99 + ["k"], "area": ["1"] * 99 + ["x"]}
    with pytest.raises(DataError, match="row 100,"):
        predict_file(PREDICTOR, rows, out)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "rows.parquet"]
