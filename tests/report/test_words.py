"""Numbers as words, ticks, verdicts and the card."""

import re
from typing import Any

import pytest

from ceiba.answers import ANSWERS
from ceiba.report import card, render_html
from ceiba.report.sections import KINDS
from ceiba.report.svg import tick_texts, ticks
from ceiba.report.verdict import verdicts
from ceiba.report.wording import bytes_text, figure_text, large_count_text, percent_text, seconds_text, short_number


def figure(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


@pytest.mark.parametrize(("value", "half", "text"), [
    (0.86093, 0.0053, "0.861 [0.856, 0.866]"), (0.5, 0.0, "0.500 [0.500, 0.500]"),
    (0.98765, 0.0004, "0.9877 [0.9873, 0.9880]"),
    (52341.4, 900, "52,341 [51,441, 53,241]"), (3.21, 0.4, "3.21 [2.81, 3.61]"), (0.0, 0.0, "0.000 [0.000, 0.000]"),
    (-0.00001, 0.002, "0.000 [−0.002, 0.002]"), (12.5, 0.03, "12.50 [12.47, 12.53]"),
])  # fmt: skip
def test_figures_show_the_digits_their_interval_supports(value: float, half: float, text: str) -> None:
    assert figure_text(figure(value, half)) == text


def test_no_figure_is_a_dash() -> None:
    assert figure_text(None) == "–"


def test_every_kind_of_answer_has_words() -> None:
    assert set(KINDS) == set(ANSWERS)


def test_quantities() -> None:
    assert [seconds_text(value) for value in (0.4213, 4.26, 41.2, 59.7, 754, 7500)] == [
        "0.42 s", "4.3 s", "41 s", "1.0 min", "12.6 min", "2.1 h",
    ]  # fmt: skip
    assert [bytes_text(value) for value in (12, 1234, 412e6, 3.4e9)] == ["12 B", "1.2 kB", "412 MB", "3.4 GB"]
    assert [large_count_text(value) for value in (148226, 14.8e6, 1.24e9)] == ["148,226", "14.8 M", "1.24 B"]
    assert [percent_text(value) for value in (0, 0.0001, 0.236, 0.99999, 1)] == [
        "0 %",
        "< 0.1 %",
        "23.6 %",
        "100 %",
        "100 %",
    ]
    assert [short_number(value) for value in (0, 0.12344, -1234.4, 1.2e9, 50.0)] == [
        "0", "0.1234", "−1,234", "1.2e+09", "50",
    ]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (0.8612, 0.8634), (0, 1e-7), (1e6, 5e6), (-5, -1), (0, 10)])
def test_ticks_are_round_inside_and_few(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    assert found[0] >= low - 1e-12 * abs(low)
    assert found[-1] <= high * (1 + 1e-9) if high > 0 else found[-1] <= high + 1e-9
    labels = tick_texts(found)
    assert len(set(labels)) == len(labels)


def test_ticks_of_a_single_value_and_of_quarters() -> None:
    assert ticks(3, 3) == [3]
    assert tick_texts([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert tick_texts([0, 20000, 40000]) == ["0", "20k", "40k"]


Ends = tuple[float, float]


def small(model: float, quick: float | None, constant: float, paired: Ends | None, metric: str) -> dict[str, Any]:
    base = {"constant": {metric: figure(constant, 0.01)}}
    if quick is not None:
        base["quick"] = {metric: figure(quick, 0.01)}
    name = "squared_error" if metric == "rmse" else metric
    ends = {} if paired is None else {"quick": {"metric": name, "value": 0.0, "low": paired[0], "high": paired[1]}}
    return {
        "outputs": {"y": {"kind": "number" if metric == "rmse" else "binary", "main": metric}},
        "metrics": {"test": {"y": {metric: figure(model, 0.01)}}},
        "baselines": {"test": {"y": base}}, "compared": {"test": {"y": ends}},
        "rows": {"test": {"rows": 100, "without_truth": {"y": 10}}},
    }  # fmt: skip


@pytest.mark.parametrize(("model", "quick", "constant", "paired", "metric", "standing"), [
    (0.9, 0.8, 0.5, (0.05, 0.15), "accuracy", "better"),
    (0.9, 0.95, 0.5, (-0.1, -0.02), "accuracy", "worse"),
    (0.9, 0.905, 0.5, (-0.02, 0.01), "accuracy", "even"),
    (0.9, 0.905, 0.5, None, "accuracy", "even"),
    (0.9, 0.8, 0.5, None, "accuracy", "better"),
    (0.5, 0.8, 0.5, (-0.4, -0.2), "accuracy", "useless"),
    (0.9, None, 0.5, None, "accuracy", "alone"),
    (1.0, 2.0, 5.0, (-4.0, -2.0), "rmse", "better"),
    (2.0, 1.0, 5.0, (2.0, 4.0), "rmse", "worse"),
    (6.0, 1.0, 5.0, (2.0, 4.0), "rmse", "useless"),
])  # fmt: skip
def test_the_verdict_follows_the_paired_difference(
    model: float, quick: float | None, constant: float, paired: Ends | None, metric: str, standing: str
) -> None:
    (one,) = verdicts(small(model, quick, constant, paired, metric))
    assert one.standing == standing
    assert "on 90 test rows" in one.sentence


@pytest.mark.parametrize(("model", "said"), [(0.52, "no clear difference"), (0.49, "nothing has been learnt")])
def test_a_model_within_chance_of_a_constant_answer_is_said_to_be_that(model: float, said: str) -> None:
    report = small(model, 0.5, 0.5, None, "accuracy")
    report["metrics"]["test"]["y"]["accuracy"] = figure(model, 0.1)
    (one,) = verdicts(report)
    assert one.standing == "useless"
    assert one.comparison.endswith(said)


def test_rows_of_folds_are_held_out_rows() -> None:
    report = small(0.9, 0.8, 0.5, None, "accuracy")
    for part in ("metrics", "baselines", "compared", "rows"):
        report[part]["folds"] = report[part].pop("test")
    (one,) = verdicts(report)
    assert "on 90 held-out rows" in one.sentence
    assert "folds rows" not in render_html(report).replace("Folds", "folds")
    assert "## Figures on the held-out rows" in card(report)


def test_the_card_tells_what_data_figures_limits_cost_and_use(report: dict[str, Any]) -> None:
    text = card(report)
    for word in (
        "# adult", "The model answers income", "## What it does", "`<=50K`", "from a probability of 0.45", "## Data",
        "16,281 test", "| Accuracy ↑ | 0.861 \\[0.856, 0.866\\] | 0.871 | 0.764 |", "gradient boosting", "## Limits",
        "Weakest part of `age`: `29 to 90`", "25 rows repeat", "148,226", "ceiba predict", "`marital_status`",
    ):  # fmt: skip
        assert word in text, word


@pytest.mark.parametrize("part", ["baselines", "data", "cost", "slices", "outputs", "rows", "notes", "title", "recipe"])
def test_the_card_does_without_any_part(report: dict[str, Any], part: str) -> None:
    assert "## Limits" in card({name: value for name, value in report.items() if name != part})


def test_data_cannot_break_out_of_the_card(report: dict[str, Any]) -> None:
    report["title"] = "a | b\n# heading <script>alert(1)</script> [x](http://example.org)"
    report["outputs"]["income"]["labels"] = ["`tick`", "<b>|"]
    report["data"]["columns"][0]["name"] = "a|b"
    report["notes"] = ["![](http://example.org/x.png)\n## more\n- item"]
    text = card(report)
    assert "<script" not in text
    assert "\n# heading" not in text
    assert "\n## more" not in text
    assert "\n- item" not in text
    assert re.search(r"(?<!\\)\]\(", text) is None
    assert "| `a\\|b` |" in text
    assert "`` `tick` ``" in text
