"""Answers by several processes are those of one, in the same order; what goes wrong there is told here."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from serving import table_bundle

from ceiba.base.errors import DataError
from ceiba.base.side_process import Helpers
from ceiba.cli import main
from ceiba.cli.opening import open_model
from ceiba.predict.parallel import answering
from ceiba.read import open_frame

ROWS = 5_000


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    """A bundle, and a table that is cut into several windows."""
    bundle = table_bundle(tmp_path / "homes")
    table = pa.table(
        {"id": range(ROWS), "area": [row / 7 for row in range(ROWS)], "city": ["Rome", "Oslo"] * (ROWS // 2)}
    )
    pa_csv.write_csv(table, tmp_path / "rows.csv")
    return bundle, tmp_path / "rows.csv"


@pytest.mark.parametrize("workers", ["2", "3"])
def test_the_file_is_the_same(homes: tuple[Path, Path], tmp_path: Path, workers: str) -> None:
    bundle, rows = homes
    words = ["predict", str(bundle), str(rows), "--keep", "id", "--out"]
    assert main([*words, str(tmp_path / "one.csv")]) == 0
    assert main([*words, str(tmp_path / "several.csv"), "--workers", workers]) == 0
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "several.csv").read_bytes()
    assert (tmp_path / "one.csv").read_text().count("\n") == ROWS + 1


def test_several_windows_come_in_order_and_a_bad_row_is_named(homes: tuple[Path, Path]) -> None:
    bundle, rows = homes
    predictor = open_model(bundle)
    by = answering(Helpers(2), open_model, (bundle,))
    frame = open_frame(rows)
    windows = [batch.slice(start, 100) for batch in frame.batches() for start in range(0, batch.num_rows, 100)]
    found = pa.Table.from_batches(list(by(iter(windows), ("id",), "rows.csv")))
    assert found.column("id").to_pylist() == list(range(ROWS))
    assert found.column("price").equals(predictor.predict(rows).column("price"))
    bad = pa.RecordBatch.from_pydict({"id": [1, 2], "area": ["1", "west"], "city": ["Rome", "Rome"]})
    with pytest.raises(DataError, match=r"rows\.csv row 102, column 'area' must be a number\. Got 'west'"):
        list(by(iter([windows[0], bad, *windows[1:]]), ("id",), "rows.csv"))


def test_a_bundle_that_does_not_open_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(tmp_path), "rows.csv", "--out", str(tmp_path / "out.csv")]
    assert main([*words, "--workers", "2"]) == 2
    assert main([*words, "--workers", "0"]) == 2
    assert "--workers must be 1 or more" in capsys.readouterr().err
