"""Confusion, classes, calibration, curves and the threshold."""

import numpy as np
import pytest
import sklearn.metrics as reference
from numpy.typing import NDArray

from ceiba.metrics import calibration, choose_threshold, confusion, figures, per_class, pr_curve, roc_curve


def binary_rows(rows: int, ties: bool = False) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    random = np.random.default_rng(0)
    truth = (random.random(rows) < 0.3).astype(np.int64)
    scores = 1 / (1 + np.exp(-(truth * 1.5 + random.normal(size=rows) - 1)))
    return truth, np.round(scores, 1) if ties else scores


def test_confusion_and_classes_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 300)
    answer = np.where(random.random(300) < 0.6, truth, random.integers(0, 4, 300))
    matrix = confusion(truth, answer, 4)
    assert (matrix == reference.confusion_matrix(truth, answer)).all()
    expected = reference.precision_recall_fscore_support(truth, answer)
    rows = per_class(matrix, ["a", "b", "c", "d"])
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[name] for row in rows] == pytest.approx(list(column))  # type: ignore[literal-required]


def test_a_class_without_rows_has_no_figures() -> None:
    matrix = confusion(np.array([0, 0, -1]), np.array([0, 1, 1]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    rows = per_class(matrix, ["a", "b", "c"])
    assert rows[2] == {"label": "c", "precision": None, "recall": None, "f1": None, "support": 0}
    assert rows[1]["recall"] is None
    assert rows[1]["precision"] == 0
    assert confusion(np.empty(0, np.int64), np.empty(0, np.int64), 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
def test_calibration_by_hand(binning: str) -> None:
    confidence, outcome = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1])
    table = calibration(confidence, outcome, binning, bins=2)  # type: ignore[arg-type]
    assert table["ece"] == pytest.approx((0.8 + 0.2) / 4)
    assert [row["rows"] for row in table["bins"]] == [2, 2]
    assert [row["share"] for row in table["bins"]] == [0.5, 1.0]


def test_calibration_tells_the_honest_from_the_boastful() -> None:
    random = np.random.default_rng(0)
    honest = random.random(20_000)
    outcome = random.random(20_000) < honest
    boast = np.clip(0.5 + (honest - 0.5) * 3, 0, 1)
    assert calibration(honest, outcome)["ece"] < 0.02
    assert calibration(boast, outcome)["ece"] > 0.1
    assert calibration(honest, outcome)["ece"] == pytest.approx(figures("binary", outcome, honest)["ece"]["value"])
    assert sum(row["rows"] for row in calibration(honest, outcome, "equal_mass")["bins"]) == 20_000


def test_calibration_without_rows_and_with_one_score() -> None:
    assert calibration(np.empty(0), np.empty(0)) == {"ece": None, "binning": "equal_width", "num_bins": 15, "bins": []}
    assert len(calibration(np.full(9, 1.0), np.ones(9), "equal_mass")["bins"]) == 1


def test_curves_enclose_the_area_that_is_measured() -> None:
    truth, scores = binary_rows(20_000)
    roc, pr = roc_curve(truth, scores), pr_curve(truth, scores)
    assert roc is not None
    assert pr is not None
    assert len(roc["x"]) <= 200
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)
    assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(reference.roc_auc_score(truth, scores), abs=2e-3)
    assert np.trapezoid(pr["y"], pr["x"]) == pytest.approx(reference.average_precision_score(truth, scores), abs=5e-3)
    assert np.mean(np.diff(roc["x"]) >= 0) == 1


def test_curves_need_both_classes() -> None:
    assert roc_curve(np.zeros(3, np.int64), np.linspace(0, 1, 3)) is None
    assert pr_curve(np.empty(0, np.int64), np.empty(0)) is None


@pytest.mark.parametrize("metric", ["accuracy", "f1", "balanced_accuracy"])
@pytest.mark.parametrize("ties", [False, True])
def test_no_threshold_beats_the_chosen_one(metric: str, ties: bool) -> None:
    truth, scores = binary_rows(300, ties=ties)
    score = {
        "accuracy": reference.accuracy_score,
        "f1": reference.f1_score,
        "balanced_accuracy": reference.balanced_accuracy_score,
    }[metric]
    cut = choose_threshold(truth, scores, metric)  # type: ignore[arg-type]
    best = max(score(truth, scores >= other) for other in np.linspace(0, 1, 401))
    assert score(truth, scores >= cut) >= best - 1e-12


def test_a_threshold_is_one_half_where_nothing_speaks_against_it() -> None:
    assert choose_threshold(np.empty(0, np.int64), np.empty(0)) == 0.5
    assert choose_threshold(np.array([1, 1, -1]), np.array([0.1, 0.2, 0.3])) == 0.5
    assert choose_threshold(np.array([0, 1]), np.array([0.3, 0.9])) == 0.5
    assert choose_threshold(np.array([0, 1]), np.array([0.1, 0.3])) == pytest.approx(0.2)
