"""Tables at the edge: too few rows, too little in them. They train, or are refused for a stated reason; never NaN.

No rows, one class and no target at all, like other wrong data, are in tests/cli/test_errors.py.
"""

import json
from pathlib import Path

import pytest
from people import RECIPE, ROWS, people

from ceiba.cli import main

LINES = ROWS.splitlines(keepends=True)
NUMBER = RECIPE.replace("rich: binary", "score: number")
EDGE = RECIPE + "inputs: {age: number}\n"
CASES = [
    ("no row", LINES[0], EDGE, 2, "people.csv"),
    ("one row", "".join(LINES[:2]), EDGE, 2, "rich"),
    ("two rows", "".join(LINES[:3]), NUMBER + "inputs: {age: number}\n", 2, "rows"),
    ("fewer rows than a batch", "".join(LINES[:31]), RECIPE.replace("batch_rows: 16", "batch_rows: 512"), 0, ""),
    ("a constant column", ROWS.replace("Rome", "Oslo"), RECIPE, 0, ""),
    ("a constant input", "age,score\n" + "".join(f"7,{row}\n" for row in range(60)), NUMBER, 2, "inputs"),
    ("a constant target", ROWS, NUMBER.replace("score", "same"), 2, "at least two values"),
    ("a column of nothing", ROWS.replace("Rome", "").replace("Oslo", ""), RECIPE, 0, ""),
]


@pytest.mark.parametrize(
    ("rows", "recipe", "code", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_table_at_the_edge(
    rows: str, recipe: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    people(tmp_path, rows.replace("\n", ",7\n").replace(",7", ",same", 1), recipe)
    assert main(["train", "people.yaml", "--out", "run"]) == code
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ceiba: ")]
    if code:
        assert len(error) == 1
        assert message in error[0]
        assert not Path("run/bundle").exists()
        return
    assert error == []
    report = Path("run/bundle/report.json").read_text()
    assert "NaN" not in report
    assert "Infinity" not in report
    assert json.loads(report)["metrics"]
