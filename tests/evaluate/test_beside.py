"""Baselines of the helping process are those that are learnt here."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ceiba.evaluate.beside import Beside

SCRIPT = """
import json, sys
from ceiba.base.side_process import start_helper
if sys.argv[3] == "helper":
    start_helper("ceiba.evaluate")
from ceiba.run import train
recipe = {
    "data": {"train": sys.argv[1]}, "inputs": {"a": "number", "b": "category", "words": "text"},
    "outputs": {"y": "number", "which": "category"}, "train": {"epochs": 1},
}
report = train(recipe, sys.argv[2]).report
for one in report["baseline_models"].values():
    one["quick"].pop("seconds")
print(json.dumps([report["baselines"], report["baseline_models"], report["compared"]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a helper is forked on Linux alone")
def test_the_helper_gives_the_same_figures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=300), random.integers(0, 3, 300)
    words = [" ".join(random.choice(["red", "green", "blue", "gray"], 5)) for _ in a]
    rows = {
        "a": a,
        "b": [f"kind {one}" for one in b],
        "words": words,
        "y": a * b,
        "which": np.where(a > 0, "up", "down"),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    found = {}
    for where in ("helper", "here"):
        words_of = [sys.executable, "-c", SCRIPT, str(tmp_path / "rows.parquet"), str(tmp_path / where), where]
        done = subprocess.run(words_of, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        found[where] = json.loads(done.stdout.splitlines()[-1])
    assert found["helper"] == found["here"]
    assert found["here"][0]["test"]["y"]["quick"]["r2"]["value"] > 0.5


def test_on_a_thread_they_begin_when_they_are_told_to() -> None:
    seen: list[int] = []
    beside = Beside(lambda: seen.append(1))  # type: ignore[arg-type, func-returns-value]
    assert seen == []
    beside.begin()
    beside.begin()
    assert beside.result() is None
    assert seen == [1]
    assert Beside().result() is None


DYING = """
import os, signal, sys
from ceiba.base.side_process import helper, start_helper
start_helper()
os.kill(helper().process, signal.SIGKILL)
from ceiba.run import train
recipe = {"data": {"train": sys.argv[1]}, "outputs": {"y": "number"}, "train": {"epochs": 1}}
print(train(recipe, sys.argv[2]).report["baselines"]["test"]["y"]["quick"]["r2"]["value"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a helper is forked on Linux alone")
def test_a_helper_that_dies_costs_no_training(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=300)
    pq.write_table(pa.table({"a": a, "y": 3 * a}), tmp_path / "rows.parquet")
    words = [sys.executable, "-c", DYING, str(tmp_path / "rows.parquet"), str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) > 0.8
