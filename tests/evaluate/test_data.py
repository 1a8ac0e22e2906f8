"""Rows that are not split yet are read and cleaned as the training rows were."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ceiba
from ceiba.base.errors import DataError
from ceiba.clean import Cleaner, StripSpec, StripSuffixSpec
from ceiba.evaluate import evaluate, evaluate_data, fit_baselines
from ceiba.predict import Predictor
from ceiba.read import ReadSpec, open_frame

ROWS = {"x": [1.0, 2.0, 3.0, 4.0] * 20, "yes": ["no", "no", "yes", "no"] * 20, "size": [10.0, 20.0, 30.0, 20.0] * 20}


def backend(parts: dict[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    x = parts["table.numbers"][:, 0]
    return {"yes": 4 - 8 * np.abs(x - x.max() / 2), "size": x}


@pytest.fixture
def predictor(fitted: Callable[..., tuple[Any, Any]]) -> Predictor:
    fields, answers = fitted(open_frame(ROWS), {"x": "number"}, {"yes": "binary", "size": "number"})
    clean = Cleaner([StripSpec(), StripSuffixSpec(columns={"yes": "."})])
    return Predictor(fields, answers, backend, clean, ReadSpec(header=["x", "yes", "size"]))


def test_a_file_is_read_and_cleaned_like_the_training_rows(predictor: Predictor, tmp_path: Path) -> None:
    lines = [f"{x}, {yes}. ,{size}\n" for x, yes, size in zip(*ROWS.values(), strict=True)]
    (tmp_path / "rows.csv").write_text("".join(lines), encoding="utf-8")
    report = evaluate_data(predictor, tmp_path / "rows.csv", ["yes"])
    clean = evaluate(predictor, {"test": open_frame(ROWS)})
    assert report["metrics"] == clean["metrics"]
    assert report["rows"]["test"] == {"rows": 80, "without_truth": {"yes": 0, "size": 0}}
    assert [part["value"] for part in report["slices"]["test"]["yes"]["yes"]] == ["no", "yes"]
    assert report["cost"]["peak_memory_bytes"] > 0


def test_a_notebook_shows_a_report_as_its_page(predictor: Predictor) -> None:
    report = ceiba.evaluate(predictor, ROWS)
    page = report._repr_html_()
    assert page.lower().startswith("<!doctype html>")
    assert f"{report['metrics']['test']['yes']['accuracy']['value']:.3f}" in page
    assert json.loads(json.dumps(report)) == report


def test_the_constant_is_that_of_the_training_rows(predictor: Predictor) -> None:
    other = open_frame({name: values[:6] for name, values in ROWS.items()})
    told = evaluate_data(predictor, other)["baselines"]["test"]
    learnt = fit_baselines(open_frame(ROWS), predictor.fields, predictor.answers).figures(other)
    for name in ("yes", "size"):
        assert set(told[name]) == {"constant"}
        for metric, figure in learnt[name]["constant"].items():
            assert told[name]["constant"][metric]["value"] == pytest.approx(figure["value"], rel=1e-5), metric


def test_rows_without_the_target_are_an_error(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="'yes'"):
        evaluate_data(predictor, {"x": [1.0], "size": [1.0], "yess": ["no"]})
