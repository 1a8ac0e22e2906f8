"""Figures: against scikit-learn, at edge sizes, and their intervals against what they promise."""

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from numpy.typing import NDArray

from ceiba.base.errors import CeibaError
from ceiba.metrics import METRICS, Figure, figures, paired_difference, per_row
from ceiba.metrics.resample import POISSON

Array = NDArray[Any]


def binary_rows(rows: int, seed: int = 0, ties: bool = False) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    truth = (random.random(rows) < 0.3).astype(np.int64)
    scores = 1 / (1 + np.exp(-(truth * 1.5 + random.normal(size=rows) - 1)))
    return truth, np.round(scores, 1) if ties else scores


def class_rows(rows: int, num_classes: int, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, num_classes, rows)
    logits = random.normal(size=(rows, num_classes)) + 1.5 * np.eye(num_classes)[truth]
    return truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def well_formed(table: dict[str, Figure]) -> None:
    json.dumps(table, allow_nan=False)
    for name, figure in table.items():
        metric = METRICS[name]
        assert metric.low <= figure["low"] <= figure["value"] <= figure["high"] <= metric.high, name


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rows", [2, 7, 300, 3000])
def test_binary_equals_scikit_learn(rows: int, ties: bool) -> None:
    truth, scores = binary_rows(rows, ties=ties)
    truth[:2] = [0, 1]
    answer = scores >= 0.4
    expected = {
        "accuracy": reference.accuracy_score(truth, answer),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, answer),
        "roc_auc": reference.roc_auc_score(truth, scores),
        "average_precision": reference.average_precision_score(truth, scores),
        "f1": reference.f1_score(truth, answer, zero_division=0),
        "precision": reference.precision_score(truth, answer, zero_division=0),
        "recall": reference.recall_score(truth, answer),
        "log_loss": reference.log_loss(truth, scores),
        "brier": reference.brier_score_loss(truth, scores),
    }
    table = figures("binary", truth, scores, threshold=0.4)
    well_formed(table)
    assert set(table) == {*expected, "ece"}
    for name, value in expected.items():
        assert table[name]["value"] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "num_classes"), [(1, 3), (5, 3), (400, 4), (3000, 30)])
def test_classes_equal_scikit_learn(rows: int, num_classes: int, weighted: bool) -> None:
    truth, scores = class_rows(rows, num_classes)
    weights = np.random.default_rng(1).random(rows) + 0.1 if weighted else None
    answer, every = scores.argmax(axis=1), list(range(num_classes))
    expected = {
        "accuracy": reference.accuracy_score(truth, answer, sample_weight=weights),
        "f1": reference.f1_score(truth, answer, labels=np.unique(truth), average="macro", sample_weight=weights),
        "log_loss": reference.log_loss(truth, scores, labels=every, sample_weight=weights),
    }
    present = reference.recall_score(truth, answer, average=None, labels=np.unique(truth), sample_weight=weights)
    expected["balanced_accuracy"] = present.mean()
    if rows > 1:
        expected["kappa"] = reference.cohen_kappa_score(truth, answer, weights="quadratic", sample_weight=weights)
    if num_classes > 5:
        expected["top_5_accuracy"] = reference.top_k_accuracy_score(
            truth, scores, k=5, sample_weight=weights, labels=every
        )
    table = figures("classes", truth, scores, weights=weights)
    well_formed(table)
    assert set(table) - {"kappa"} == {*expected, "ece"} - {"kappa"}
    for name, value in expected.items():
        assert table[name]["value"] == pytest.approx(value, rel=1e-9), name


def test_kappa_needs_a_scale_and_uses_its_distances() -> None:
    truth, scores = class_rows(200, 3)
    assert "kappa" not in figures("classes", truth, scores, labels=["red", "green", "blue"])
    told = figures("classes", truth, scores, labels=["10", "0", "5"])["kappa"]["value"]
    place = np.array([2, 0, 1])
    expected = reference.cohen_kappa_score(place[truth], place[scores.argmax(axis=1)], weights="quadratic")
    assert told == pytest.approx(expected)


@pytest.mark.parametrize("rows", [1, 2, 5, 501])
def test_numbers_equal_scikit_learn(rows: int) -> None:
    random = np.random.default_rng(rows)
    truth = random.lognormal(12, 1, rows).astype(np.float32)
    scores = truth * random.lognormal(0, 0.3, rows).astype(np.float32)
    expected = {
        "rmse": reference.root_mean_squared_error(truth, scores),
        "mae": reference.mean_absolute_error(truth, scores),
        "median_absolute_error": reference.median_absolute_error(truth, scores),
        "mape": reference.mean_absolute_percentage_error(truth, scores),
    }
    if rows > 1:
        expected["r2"] = reference.r2_score(truth, scores)
    table = figures("number", truth, scores)
    well_formed(table)
    assert set(table) == set(expected)
    for name, value in expected.items():
        assert table[name]["value"] == pytest.approx(value, rel=1e-5), name


def test_labels_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth = (random.random((400, 3)) < 0.3).astype(np.float32)
    scores = 1 / (1 + np.exp(-(truth * 2 + random.normal(size=truth.shape) - 1)))
    answer = scores >= 0.5
    table = figures("labels", truth, scores)
    well_formed(table)
    assert {name: figure["value"] for name, figure in table.items()} == pytest.approx(
        {
            "f1_micro": reference.f1_score(truth, answer, average="micro"),
            "f1_macro": reference.f1_score(truth, answer, average="macro"),
            "subset_accuracy": reference.accuracy_score(truth, answer),
            "average_precision": reference.average_precision_score(truth, scores),
        }
    )


@pytest.mark.parametrize("kind", ["binary", "classes", "labels", "number"])
@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_rows_give_json(kind: str, rows: int) -> None:
    truth = {
        "binary": np.zeros(rows, np.int64),
        "classes": np.zeros(rows, np.int64),
        "labels": np.zeros((rows, 2), np.float32),
        "number": np.zeros(rows, np.float32),
    }[kind]
    scores = np.full((rows, 2) if kind in ("classes", "labels") else rows, 0.25)
    table = figures(kind, truth, scores)
    well_formed(table)
    assert bool(table) == (rows > 0)


def test_one_class_present_leaves_out_what_it_does_not_define() -> None:
    table = figures("binary", np.zeros(50, np.int64), np.linspace(0, 0.4, 50))
    well_formed(table)
    assert not {"roc_auc", "average_precision", "recall", "precision", "f1"} & set(table)
    assert table["accuracy"]["value"] == 1
    assert table["accuracy"]["low"] < 0.97  # Wilson's interval: fifty right answers do not prove a share of one
    zero = figures("number", np.array([0.0, 0.0], np.float32), np.array([1.0, 2.0]))
    assert not {"r2", "mape"} & set(zero)


def test_missing_truths_are_left_out() -> None:
    truth, scores = binary_rows(100)
    holes = np.where(np.arange(100) % 3 == 0, -1, truth)
    assert figures("binary", holes, scores) == figures("binary", truth[holes >= 0], scores[holes >= 0])
    numbers = np.where(np.arange(100) % 3 == 0, np.nan, scores)
    assert figures("number", numbers, scores + 1) == figures("number", numbers[holes >= 0], scores[holes >= 0] + 1)


def test_scores_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(CeibaError, match="1 of 2 rows"):
        figures("number", np.array([1.0, 2.0]), np.array([np.nan, 1.0]))
    with pytest.raises(CeibaError, match="binary"):
        figures("binry", np.array([1]), np.array([0.5]))


def test_the_seed_decides_and_nothing_else() -> None:
    truth, scores = binary_rows(500)
    assert figures("binary", truth, scores, seed=1) == figures("binary", truth, scores, seed=1)
    assert figures("binary", truth, scores, seed=1) != figures("binary", truth, scores, seed=2)


def test_weights_of_the_bootstrap_have_mean_and_variance_one() -> None:
    assert POISSON.mean() == pytest.approx(1, abs=1e-3)
    assert POISSON.var() == pytest.approx(1, abs=1e-3)


def halves(table: dict[str, Figure]) -> dict[str, float]:
    return {name: figure["high"] - figure["low"] for name, figure in table.items()}


@pytest.mark.parametrize("rows", [400, 5000, 120_000])
def test_intervals_agree_with_the_textbook(rows: int) -> None:
    truth, scores = binary_rows(rows)
    widths = halves(figures("binary", truth, scores, resamples=400))
    accuracy = ((scores >= 0.5) == truth).mean()
    expected = 2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / rows)
    assert widths["accuracy"] == pytest.approx(expected, rel=0.2)
    loss = -np.log(np.where(truth, scores, 1 - scores))
    assert widths["log_loss"] == pytest.approx(2 * 1.96 * loss.std() / np.sqrt(rows), rel=0.2)
    # DeLong's variance of the AUC, from the placement of each row among those of the other class.
    positives, negatives = np.sort(scores[truth == 1]), np.sort(scores[truth == 0])
    above = np.searchsorted(negatives, positives) / len(negatives)
    below = 1 - np.searchsorted(positives, negatives) / len(positives)
    delong = np.sqrt(above.var() / len(positives) + below.var() / len(negatives))
    assert widths["roc_auc"] == pytest.approx(2 * 1.96 * delong, rel=0.2)


def covered(draw: Callable[[int], Figure], truth: float, trials: int = 150) -> float:
    hits = [(figure := draw(seed))["low"] <= truth <= figure["high"] for seed in range(trials)]
    return float(np.mean(hits))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    def auc(seed: int) -> Figure:
        return figures("binary", *binary_rows(400, seed), seed=seed)["roc_auc"]

    def error(seed: int) -> Figure:
        noise = np.random.default_rng(seed).normal(size=300)
        return figures("number", np.zeros(300) + 5, 5 + noise, seed=seed)["rmse"]

    big = reference.roc_auc_score(*binary_rows(400_000, 99))
    assert 0.88 <= covered(auc, big) <= 1.0
    assert 0.88 <= covered(error, 1.0) <= 1.0
    # The control: the interval does not cover what is not there.
    assert covered(auc, big - 0.1) < 0.5


def test_pairs_tell_apart_what_single_intervals_cannot() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(size=500)
    truth, first, second = np.zeros(500), hard + 0.02, hard * 1.1
    losses = [per_row("number", truth, scores, "squared_error") for scores in (second, first)]
    difference = paired_difference(*losses)
    assert difference is not None
    assert difference["low"] > 0
    assert difference["value"] == pytest.approx((losses[0] - losses[1]).mean())
    same = paired_difference(losses[0], losses[0])
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert paired_difference(np.empty(0), np.empty(0)) is None


@pytest.mark.parametrize(
    ("kind", "metric"), [("binary", "log_loss"), ("binary", "brier"), ("binary", "accuracy"), ("classes", "log_loss")]
)
def test_rows_average_to_the_figure(kind: str, metric: str) -> None:
    truth, scores = binary_rows(80) if kind == "binary" else class_rows(80, 4)
    assert per_row(kind, truth, scores, metric).mean() == pytest.approx(figures(kind, truth, scores)[metric]["value"])
    with pytest.raises(CeibaError, match="mean over rows"):
        per_row(kind, truth, scores, "roc_auc")


def test_sixteen_thousand_rows_cost_little() -> None:
    truth, scores = binary_rows(16_281)
    figures("binary", truth, scores)
    started = time.perf_counter()
    figures("binary", truth, scores)
    assert time.perf_counter() - started < 0.5


def test_figures_of_many_rows_take_little_room_beside_them() -> None:
    truth, scores = binary_rows(200_000)
    tracemalloc.start()
    figures("binary", truth, scores)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 160 * len(truth)


def test_macro_f1_is_over_the_classes_that_are_true_whatever_a_model_answers() -> None:
    truth = np.array([0, 0, 1, 1])
    for answer, right in (([0, 0, 1, 1], 1.0), ([0, 0, 1, 2], (1 + 2 / 3) / 2)):
        scores = np.eye(3)[answer] * 0.9 + 0.03
        assert figures("classes", truth, scores)["f1"]["value"] == pytest.approx(right)
