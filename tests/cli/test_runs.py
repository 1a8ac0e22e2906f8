"""`ceiba runs`: states, figures, and pairs of equal rows alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ceiba
from ceiba.base.files import hold
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.evaluate import read_rows
from ceiba.report.runs import compare_runs, describe, list_runs

RECIPE = """
data: {train: people.csv}
outputs: {rich: binary, hours: number}
model: {dim: 16}
train: {epochs: 1, batch_rows: 32}
evaluate: {baselines: false}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs: short and long of one recipe, one with another split, and a cross-validation."""
    folder = tmp_path_factory.mktemp("made")
    random = np.random.default_rng(0)
    rows = ["age,city,rich,hours"]
    for _ in range(400):
        age, city = random.integers(18, 80), random.choice(["Rome", "Oslo"])
        rows.append(f"{age},{city},{'yes' if age + random.normal(0, 5) > 50 else 'no'},{age * 2 + random.normal():.2f}")
    (folder / "people.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    for name, options in {
        "short": [], "long": ["train.epochs=30", "train.optimizer.lr=0.01"], "log": ["outputs.hours.log=true"],
        "split": ["data.split.seed=1"], "deep/folds": ["data.split.folds=2"],
    }.items():  # fmt: skip
        ceiba.train(folder / "recipe.yaml", out=folder / "runs" / name, overrides=options)
    return folder


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with those runs."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_line_a_run(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    entries = json.loads(last)["runs"]
    assert {one["run"] for one in entries} == {
        f"runs/{name}" for name in ("short", "long", "log", "split", "deep/folds")
    }
    assert len(lines) == 6
    long = next(one for one in entries if one["run"] == "runs/long")
    report = json.loads(Path("runs/long/bundle/report.json").read_text())
    assert (long["state"], long["data"], long["measured"]) == ("done", "people.csv", "test rich accuracy")
    assert long["figure"] == report["metrics"]["test"]["rich"]["accuracy"]
    assert long["best_epoch"] == report["cost"]["best_epoch"]
    assert long["parameters"] == report["cost"]["parameters"]
    folds = next(one for one in entries if one["run"] == "runs/deep/folds")
    assert folds["measured"] == "folds rich accuracy"
    assert main(["runs", "runs/long"]) == 0
    assert "runs/long" in capsys.readouterr().out


def test_lines_are_in_the_order_of_time(desk: Path) -> None:
    for place, name in enumerate(("split", "long", "log", "short")):
        os.utime(f"runs/{name}/bundle/report.json", (10**9 + place, 10**9 + place))
    shutil.rmtree("runs/deep")
    assert [Path(one["run"]).name for one in list_runs(Path("runs"))] == ["split", "long", "log", "short"]


def _fails(folder: Path) -> None:
    with pytest.raises(ceiba.CeibaError):
        ceiba.train(
            "recipe.yaml", out=folder, overrides=["train.optimizer={type: sgd, lr: 1e30}", "train.clip_norm=null"]
        )


def _lies(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).mkdir(parents=True)


def _is_damaged(folder: Path) -> None:
    shutil.copytree("runs/short", folder)
    (folder / "bundle" / "report.json").write_text('{"metrics": ')


STATES: list[tuple[str, Callable[[Path], None]]] = [
    ("failed", _fails),
    ("stopped at step 12", _lies("checkpoints/step-000000012")),
    ("stopped", _lies("fold-1/bundle")),
    ("damaged", _is_damaged),
]


@pytest.mark.parametrize(("state", "make"), STATES, ids=[state for state, _ in STATES])
def test_a_run_that_is_not_done_says_how_it_ended(state: str, make: Callable[[Path], None], desk: Path) -> None:
    folder = Path("runs/odd")
    make(folder)
    (folder / "lock").touch()
    assert describe(folder)["state"] == state
    with hold(folder):
        assert describe(folder)["state"] in ("running", "damaged")


def test_a_search_is_a_line(desk: Path) -> None:
    pytest.importorskip("optuna")
    assert main(["tune", "recipe.yaml", "--out", "runs/search", "--set", "tune={trials: 2}"]) == 0
    entry = describe(Path("runs/search"))
    assert (entry["state"], entry["data"], entry["measured"]) == ("done", "2 trials", "valid loss")
    assert entry["figure"]["value"] > 0


def test_two_runs_side_by_side(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "runs/short", "runs/long", "--json"]) == 0
    printed = capsys.readouterr().out
    compared = json.loads(printed.splitlines()[-1])
    assert compared["recipe"] == {"train.epochs": [1, 30], "train.optimizer.lr": [0.001, 0.01]}
    first, second = compared["metrics"]["test rich accuracy"]
    assert first["value"] != second["value"]
    paired = {(one["split"], one["output"]): one for one in compared["paired"]}
    assert set(paired) == {(split, output) for split in ("test", "valid") for output in ("rich", "hours")}
    rich, hours = paired["test", "rich"], paired["test", "hours"]
    assert rich["value"] == pytest.approx(second["value"] - first["value"])
    assert rich["low"] < rich["value"] < rich["high"]
    squares = [compared["metrics"]["test hours rmse"][place]["value"] ** 2 for place in (0, 1)]
    assert hours["value"] == pytest.approx(squares[1] - squares[0], rel=1e-4)
    assert hours["verdict"] == "better"
    assert rich["verdict"] == {(1, 1): "better", (-1, -1): "worse"}.get(
        (np.sign(rich["low"]), np.sign(rich["high"])), "no clear difference"
    )
    assert "runs/long - runs/short" in printed
    backward = {
        (one["split"], one["output"]): one for one in compare_runs([Path("runs/long"), Path("runs/short")])["paired"]
    }
    assert backward["test", "hours"]["verdict"] == "worse"


def test_rows_are_paired_by_their_truths(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However a target was encoded; and never across splits."""
    runs = [Path("runs/short"), Path("runs/log"), Path("runs/split")]
    assert {one["run"] for one in compare_runs(runs)["paired"]} == {"runs/log"}
    assert len(compare_runs(runs)["paired"]) == 4
    assert main(["runs", "runs/short", "runs/split"]) == 0
    assert "Not paired" in capsys.readouterr().out
    assert main(["runs", "runs/short", "runs/deep/folds"]) == 0
    assert main(["runs", "runs/short", "runs/short"]) == 0
    assert "The recipes are equal." in capsys.readouterr().out


def test_the_rows_of_a_bundle_give_its_figures(desk: Path) -> None:
    bundle = open_bundle("runs/long")
    assert bundle.report is not None
    assert "rows.parquet" in json.loads(bundle.read("MANIFEST"))
    means: dict[Any, float] = {
        name[:3]: float(values.mean()) for name, values in read_rows(bundle.folder / "rows.parquet").items()
    }
    metrics = bundle.report["metrics"]["test"]
    assert means["test", "rich", "accuracy"] == pytest.approx(metrics["rich"]["accuracy"]["value"])
    assert means["test", "hours", "squared_error"] == pytest.approx(metrics["hours"]["rmse"]["value"] ** 2, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "none"], "none must be a folder of runs"),
        (["runs", "runs/short", "none"], "none must be a finished run. Got no report"),
        (["runs", "runs/short", "people.csv"], "people.csv must be a finished run. Got no report"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_wrong_folders_are_one_line(
    arguments: list[str], message: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_an_empty_folder_has_no_runs(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["runs", "empty"]) == 0
    assert capsys.readouterr().out == "No runs in empty.\n"


def test_no_torch_is_needed(desk: Path) -> None:
    code = (
        "import sys; from ceiba.cli import main; main(['runs']); main(['runs', 'runs/short', 'runs/long']); "
        "heavy = {'torch', 'sklearn', 'optuna', 'onnxruntime'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
