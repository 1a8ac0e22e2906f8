"""One small recipe for each kind of data: raw file → measured bundle → answers."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import yaml

import ceiba
from ceiba.cli import main

DATA = {"table": ("people.csv", "rich"), "text": ("reviews.tsv", "kind"), "images": ("shapes", "label")}
KINDS = [pytest.param(kind, kind, id=kind) for kind in DATA]


@pytest.mark.parametrize(("journey", "kind"), KINDS, indirect=["journey"])
def test_from_raw_file_to_answers(journey: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    data, target = DATA[kind]
    assert main(["train", "recipe.yaml", "--out", "run", "--json"]) == 0
    printed = capsys.readouterr().out
    figures = json.loads(printed.splitlines()[-1])
    accuracy = figures["metrics"]["test"][target]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert accuracy["value"] > 0.8
    assert set(figures["baselines"]["test"][target]) == {"constant", "quick"}
    assert accuracy["value"] > figures["baselines"]["test"][target]["constant"]["accuracy"]["value"]
    assert figures["seconds"] > 0
    assert figures["peak_memory_bytes"] > 2**20
    assert printed.count("truth:") == (6 if kind == "table" else 3)
    bundle = Path(figures["bundle"])
    assert {path.name for path in bundle.iterdir()} >= {
        "ceiba.json", "recipe.yaml", "fields.json", "weights.safetensors",
        "report.json", "report.html", "card.md", "MANIFEST",
    }  # fmt: skip

    assert main(["predict", "run", data, "--out", "answers.parquet"]) == 0
    answers = pq.read_table("answers.parquet")
    assert {target, f"{target}_probability"} <= set(answers.column_names)
    assert main(["evaluate", "run", data, "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["metrics"]["test"][target]["accuracy"]["value"] > 0.8
    assert main(["report", "run"]) == 0
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize("journey", ["table"], indirect=True)
def test_the_recipe_in_the_bundle_is_complete_and_gives_the_same_weights(journey: Path) -> None:
    first = ceiba.train("recipe.yaml", out="a")
    written = first.bundle.folder / "recipe.yaml"
    assert "type: auto" not in written.read_text()
    inputs = yaml.safe_load(written.read_text())["inputs"]
    assert {name: one["type"] for name, one in inputs.items()} == {
        "age": "number", "city": "category", "joined": "date", "score": "number",
    }  # fmt: skip
    second = ceiba.train(written, out="b")
    assert first.bundle.read("weights.safetensors") == second.bundle.read("weights.safetensors")
    assert first.report["metrics"] == second.report["metrics"]


@pytest.mark.parametrize("journey", ["table"], indirect=True)
def test_data_and_a_target_are_enough(journey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "people.csv", "--target", "rich", "--set", "train.epochs=4"]) == 0
    assert (journey / "runs/people/bundle/report.html").is_file()
    assert main(["init", "people.csv", "--target", "rich"]) == 0
    assert "rich" in capsys.readouterr().out
    assert main(["train", "people.yaml", "--set", "train.epochs=2"]) == 0
    assert (journey / "runs/people-2/bundle").is_dir()


@pytest.mark.parametrize("journey", ["table"], indirect=True)
def test_answers_come_in_the_form_the_rows_came(journey: Path) -> None:
    ceiba.train("recipe.yaml", out="run", overrides=["train.epochs=1"])
    predictor = ceiba.open("run")
    frame = ceiba.read("people.csv").head(7)
    arrow = predictor.predict(frame)
    assert arrow.column_names[0] == "id"
    assert predictor.predict(frame.to_pylist()) == arrow.to_pylist()
    assert predictor.predict(frame.to_pylist()[3]) == pytest.approx(arrow.to_pylist()[3])
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    from_pandas, from_polars = predictor.predict(frame.to_pandas()), predictor.predict(polars.from_arrow(frame))
    assert isinstance(from_pandas, pandas.DataFrame)
    assert from_pandas["rich"].tolist() == arrow["rich"].to_pylist()
    assert isinstance(from_polars, polars.DataFrame)
    assert from_polars["income"].to_list() == pytest.approx(arrow["income"].to_pylist())


@pytest.mark.parametrize("journey", ["table"], indirect=True)
def test_training_takes_a_table_in_memory(journey: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv("people.csv")
    run = ceiba.train({"data": {"train": frame}, "outputs": {"rich": "auto"}, "train": {"epochs": 2}}, out="run")
    assert run.report["metrics"]["test"]["rich"]["accuracy"]["value"] > 0.5


@pytest.mark.parametrize("journey", ["table"], indirect=True)
def test_folds_answer_every_row_once(journey: Path) -> None:
    options = ["--set", "data.split.folds=3", "--set", "train.epochs=2", "--set", "outputs={rich: binary}"]
    assert main(["train", "recipe.yaml", "--out", "study", *options]) == 0
    answers = pq.read_table("study/answers.parquet")
    assert answers["row"].to_pylist() == list(range(400))
    assert set(answers["fold"].to_pylist()) == {1, 2, 3}
    truth = pa_csv.read_csv("people.csv")["rich"].to_pylist()
    assert answers["rich_truth"].to_pylist() == truth
    figures = json.loads(Path("study/report.json").read_text())["metrics"]["folds"]["rich"]["accuracy"]
    right = sum(a == b for a, b in zip(answers["rich"].to_pylist(), truth, strict=True)) / 400
    assert figures["value"] == pytest.approx(right, abs=0.01)
    assert figures["low"] < figures["value"] < figures["high"]


def test_two_columns_share_a_field_and_an_encoder(tmp_path: Path) -> None:
    good, bad = ["good movie", "fine plot", "great cast"], ["bad movie", "poor plot", "weak cast"]
    first = [(good if row % 2 else bad)[row % 3] for row in range(240)]
    second = [(good if row % 4 > 1 else bad)[row % 3] for row in range(240)]
    kind = ["yes" if row % 2 and row % 4 > 1 else "no" for row in range(240)]
    recipe = {
        "data": {"train": str(tmp_path / "rows.parquet")},
        "inputs": {
            "first": {"type": "text", "tokenizer": "word", "encoder": "mean"},
            "second": {"type": "text", "share": "first"},
        },
        "outputs": {"kind": "category"},
        "train": {"epochs": 30, "optimizer": {"lr": 0.02}},
        "evaluate": {"baselines": False},
    }
    pq.write_table(pa.table({"first": first, "second": second, "kind": kind}), tmp_path / "rows.parquet")
    run = ceiba.train(recipe, out=tmp_path / "run")
    assert run.report["metrics"]["test"]["kind"]["accuracy"]["value"] > 0.9
    weights = run.bundle.read("weights.safetensors")
    assert weights.count(b"embedding") == 1
    answers = ceiba.open(run.bundle.folder).predict([{"first": "good movie", "second": "fine plot"}])
    assert [one["kind"] for one in answers] == ["yes"]


def test_inputs_are_views_of_one_column(tmp_path: Path) -> None:
    about = [("good " if row % 2 else "bad ") + ("movie", "plot", "cast")[row % 3] for row in range(240)]
    table = pa.table({"about": about, "year": [row % 5 for row in range(240)], "kind": ["no", "yes"] * 120})
    recipe = {
        "data": {"train": table},
        "inputs": {
            "words": {"column": "about", "type": "text", "tokenizer": "ngrams"},
            "order": {"column": "about", "type": "text", "tokenizer": "word", "encoder": "mean"},
            "year": "number",
            "cohort": {"column": "year", "type": "category"},
        },
        "outputs": {"kind": "category"},
        "model": {"group_dropout": 0.2},
        "train": {"epochs": 10, "optimizer": {"lr": 0.02}},
    }
    run = ceiba.train(recipe, out=tmp_path / "run")
    assert run.report["metrics"]["test"]["kind"]["accuracy"]["value"] > 0.9
    assert run.report["baselines"]["test"]["kind"]["quick"]["accuracy"]["value"] > 0.9
    predictor = ceiba.open(run.bundle.folder)
    assert predictor.columns == ("about", "year")
    assert [one["kind"] for one in predictor.predict([{"about": "good plot", "year": 3}])] == ["yes"]
