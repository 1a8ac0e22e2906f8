"""Rows that are not split yet are read and cleaned as the training rows were."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ceiba
from ceiba.base.errors import DataError, InputError
from ceiba.clean import Cleaner, StripSpec, StripSuffixSpec
from ceiba.clean.numbers import ClipSpec
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


def test_what_was_forgotten_is_told_row_by_row(predictor: Predictor) -> None:
    """The model now answers `size` worse by two in half of the rows, and `yes` as before."""

    def changed(parts: dict[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        found = dict(backend(parts))
        found["size"] = found["size"] + np.where(np.arange(len(found["size"])) % 2, 2.0, 0.0)
        return found

    report = evaluate_data(replace(predictor, backend=changed), ROWS, origin=predictor)
    size, yes = report["since"]["size"], report["since"]["yes"]
    worse, before = (evaluate_data(one, ROWS)["metrics"]["test"]["size"] for one in (
        replace(predictor, backend=changed), predictor
    ))  # fmt: skip
    assert size["value"] == pytest.approx(worse["rmse"]["value"] ** 2 - before["rmse"]["value"] ** 2, rel=1e-5)
    assert size["low"] < size["value"] < size["high"]
    assert size["origin"]["rmse"]["value"] == before["rmse"]["value"]
    assert (size["verdict"], yes["verdict"], yes["value"]) == ("forgotten", "no clear difference", 0.0)
    assert evaluate_data(predictor, ROWS, origin=replace(predictor, backend=changed))["since"]["size"]["verdict"] == (
        "gained"
    )
    assert any("Since its origin, size squared error" in note for note in report["notes"])


def test_models_without_a_common_answer_or_with_other_rows_are_refused(predictor: Predictor) -> None:
    bare = replace(predictor, answers={"size": predictor.answers["size"]})
    with pytest.raises(InputError, match="a target in common"):
        evaluate_data(replace(predictor, answers={"yes": predictor.answers["yes"]}), ROWS, origin=bare)
    less = replace(predictor, cleaner=Cleaner([ClipSpec(columns={"size": (0.0, 15.0)})]))
    with pytest.raises(InputError, match="same truths of 'size'"):
        evaluate_data(bare, ROWS, origin=less)
