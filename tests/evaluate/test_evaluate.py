"""The Report: its figures are those of the rows, at every size, with every part ready for JSON."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ceiba.base.errors import DataError
from ceiba.evaluate import evaluate, fit_baselines
from ceiba.evaluate.gather import Scored
from ceiba.evaluate.said import NOTHING, as_said
from ceiba.evaluate.samples import readable, sample_rows
from ceiba.evaluate.slices import slice_groups
from ceiba.evaluate.spans import nearest_truth
from ceiba.read import Frame, open_frame

World = Callable[..., tuple[Any, Frame]]


def truth_and_scores(predictor: Any, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    table = frame.to_table()
    truth = np.array([predictor.answers["income"].labels.index(value) for value in table["income"].to_pylist()])
    return truth, predictor.answers["income"].scores(predictor.logits(frame)["income"])


@pytest.mark.parametrize("rows", [0, 1, 2, 150])
def test_every_size_gives_a_report_that_json_takes(world: World, rows: int) -> None:
    predictor, frame = world(rows, outputs=("income", "town", "wage"))
    report = evaluate(predictor, {"test": frame}, slices=["age", "town"])
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text) == report
    assert report["rows"]["test"]["rows"] == rows
    assert set(report["metrics"]["test"]) == {"income", "town", "wage"}
    assert bool(report["samples"]) == (rows > 0)


def test_the_figures_are_those_of_the_rows(world: World) -> None:
    predictor, frame = world(200)
    truth, scores = truth_and_scores(predictor, frame)
    report = evaluate(predictor, {"test": frame})
    right = (scores >= 0.5) == truth
    assert report["metrics"]["test"]["income"]["accuracy"]["value"] == pytest.approx(right.mean())
    matrix = np.array(report["confusion"]["test"]["income"]["matrix"])
    assert matrix.trace() == right.sum()
    assert matrix.sum() == 200
    assert report["confusion"]["test"]["income"]["labels"] == list(predictor.answers["income"].labels)
    assert [row["support"] for row in report["classes"]["test"]["income"]] == matrix.sum(axis=1).tolist()
    assert sum(row["rows"] for row in report["calibration"]["test"]["income"]["bins"]) == 200


def test_numbers_are_measured_in_the_users_unit(world: World) -> None:
    predictor, frame = world(100, outputs=("wage",))
    wage = frame.to_table()["wage"].to_numpy()
    answer = predictor.answers["wage"].scores(predictor.logits(frame)["wage"])
    report = evaluate(predictor, {"test": frame})
    expected = np.sqrt(np.mean((wage - answer) ** 2))
    assert report["metrics"]["test"]["wage"]["rmse"]["value"] == pytest.approx(expected, rel=1e-5)
    errors = report["curves"]["test"]["wage"]["errors"]
    assert sum(errors["counts"]) + errors["beyond"] == 100


def test_the_threshold_of_the_answer_is_used_for_the_model_alone(world: World) -> None:
    predictor, frame = world(200)
    truth, scores = truth_and_scores(predictor, frame)
    high = type(predictor.answers["income"])(predictor.answers["income"].labels, 0.9)
    moved = type(predictor)(predictor.fields, {"income": high}, predictor.rule)
    report = evaluate(moved, {"test": frame})
    assert report["metrics"]["test"]["income"]["accuracy"]["value"] == pytest.approx(((scores >= 0.9) == truth).mean())
    assert report["outputs"]["income"] == {
        "kind": "binary", "main": "accuracy", "labels": ["high", "low"], "threshold": 0.9,
    }  # fmt: skip


def test_rows_without_a_truth_are_counted_and_left_out(world: World) -> None:
    predictor, frame = world(50)
    table = frame.to_table()
    income = table["income"].to_pylist()
    income[:10] = [None] * 5 + ["unheard of"] * 5
    holes = open_frame(table.set_column(table.schema.get_field_index("income"), "income", pa.array(income)))
    report = evaluate(predictor, {"test": holes})
    rest = evaluate(predictor, {"test": open_frame(table.slice(10))})
    for part in ("metrics", "confusion", "classes", "calibration", "curves"):
        assert report[part] == rest[part], part
    assert report["rows"]["test"]["without_truth"] == {"income": 10}
    assert any("10 of 50 rows" in note for note in report["notes"])
    assert any("40 rows" in note for note in report["notes"])


def test_slices_are_the_figures_of_their_rows(world: World) -> None:
    predictor, frame = world(300)
    truth, scores = truth_and_scores(predictor, frame)
    report = evaluate(predictor, {"test": frame}, slices=["town", "age"])
    towns = np.array(frame.to_table()["town"].to_pylist())
    parts = report["slices"]["test"]["income"]["town"]
    assert parts[0]["value"] == max(set(towns), key=list(towns).count)
    for part in parts:
        inside = towns == part["value"]
        assert part["rows"] == inside.sum()
        expected = ((scores >= 0.5) == truth)[inside].mean()
        assert part["metrics"]["accuracy"]["value"] == pytest.approx(expected)
    ages = report["slices"]["test"]["income"]["age"]
    assert len(ages) == 5
    assert ages[-1]["value"] == "(missing)"
    assert sum(part["rows"] for part in ages) == 300


def test_many_categories_keep_the_most_frequent_and_name_the_rest() -> None:
    values = [f"v{place}" for place in range(30) for _ in range(40 - place)]
    groups = slice_groups(open_frame({"v": [*values, None]}), "v")
    assert len(groups) == 14
    assert [name for name, _ in groups[:2]] == ["v0", "v1"]
    assert groups[12][0] == "(18 other values)"
    assert sum(len(rows) for _, rows in groups) == len(values) + 1


def test_a_column_that_cannot_be_grouped_is_an_error() -> None:
    with pytest.raises(DataError, match="categories or numbers"):
        slice_groups(open_frame(pa.table({"v": pa.array([[1], [2]])})), "v")
    with pytest.raises(DataError, match="vv"):
        slice_groups(open_frame({"v": ["a"]}), "vv")


def test_the_worst_rows_of_answers_that_are_counted_are_those_of_the_least_figure() -> None:
    truth = np.array([[1.0, 0.0]] * 8 + [[np.nan, np.nan]])
    f1 = np.array([1, 1, 0.5, 0, 1, 0.2, 1, 1, 0])
    said = as_said(["a"] * 9, ["a"] * 8 + [None])
    scored = Scored("span", (), 0.5, truth, np.stack([f1 == 1, f1, np.ones(9)], 1), said)
    rows = sample_rows({"answer": scored}, 9, 0)
    typical = {row for row, why in rows if why == "typical"}
    assert [row for row, why in rows if why == "worst"] == [row for row in (3, 5, 2) if row not in typical]


def test_an_answer_stands_beside_the_good_one_that_it_is() -> None:
    assert nearest_truth("two", ["one", "two"]) == "two"
    assert nearest_truth("three", ["one", "two"]) == nearest_truth(None, ["one", "two"]) == "one"
    assert nearest_truth("one", []) == nearest_truth(None, []) == NOTHING


def test_samples_hold_typical_rows_and_the_worst(world: World) -> None:
    predictor, frame = world(200)
    truth, scores = truth_and_scores(predictor, frame)
    samples = evaluate(predictor, {"valid": frame, "test": frame})["samples"]
    assert [sample["why"] for sample in samples] == ["typical"] * 3 + ["worst"] * 3
    assert {sample["split"] for sample in samples} == {"test"}
    worst = int(np.argmax(np.abs(scores - truth)))
    assert samples[3]["row"] == worst
    output = samples[3]["outputs"]["income"]
    assert output["answer"] != output["truth"]
    assert output["truth"] == predictor.answers["income"].labels[truth[worst]]
    assert output["probability"] == pytest.approx(max(scores[worst], 1 - scores[worst]))
    assert samples[3]["inputs"]["town"] == frame.to_table()["town"][worst].as_py()


def test_cells_become_json() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (100, 50), "red").save(picture, "JPEG")
    shape = {b"shape": b"2,2,1"}
    cells = pa.table([
        pa.array([picture.getvalue()]), pa.array([b"no image"]), pa.array(["x" * 999]), pa.array([float("nan")]),
        pa.array([[1, 2, 3, 4]], pa.list_(pa.uint8(), 4)),
    ], schema=pa.schema([
        ("jpeg", pa.binary()), ("bytes", pa.binary()), ("text", pa.string()), ("nan", pa.float64()),
        pa.field("pixels", pa.list_(pa.uint8(), 4), metadata=shape),
    ]))  # fmt: skip
    shown = {name: readable(cells.schema.field(name), cells[name][0]) for name in cells.column_names}
    assert shown["jpeg"]["image"].startswith("data:image/png;base64,")
    assert shown["pixels"]["image"].startswith("data:image/png;base64,")
    assert shown["bytes"] == "(bytes)"
    assert len(shown["text"]) == 240
    assert shown["nan"] is None


def test_baselines_are_measured_on_the_same_rows_and_compared_in_pairs(world: World) -> None:
    predictor, frame = world(300)
    train = world(400, seed=5)[1]
    report = evaluate(
        predictor, {"test": frame}, baselines=fit_baselines(train, predictor.fields, predictor.answers, 0)
    )
    baselines = report["baselines"]["test"]["income"]
    share = np.mean(np.array(frame.to_table()["income"].to_pylist()) == "low")
    assert baselines["constant"]["accuracy"]["value"] == pytest.approx(max(share, 1 - share))
    assert baselines["quick"]["accuracy"]["value"] > baselines["constant"]["accuracy"]["value"]
    compared = report["compared"]["test"]["income"]["quick"]
    model = report["metrics"]["test"]["income"]["accuracy"]["value"]
    assert compared["value"] == pytest.approx(model - baselines["quick"]["accuracy"]["value"])
    assert compared["low"] <= compared["value"] <= compared["high"]
    assert "gradient boosting" in report["baseline_models"]["income"]["quick"]["model"]
