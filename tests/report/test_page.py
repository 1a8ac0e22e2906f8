"""The page: whole, escaped, quick, and honest about what it is given."""

import copy
import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest

from ceiba.report import render_html

VOID = {"meta", "img", "br", "link", "input"}
ADDRESS = re.compile(r"""(?:src|href)\s*=|url\(|https?:|@import|<script""", re.IGNORECASE)


class Checker(HTMLParser):
    """Fails on elements that are not closed in their order; collects the text and the elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name != "src" or str(value).startswith("data:image/png;base64,")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def checked(report: dict[str, Any]) -> Checker:
    page = render_html(report)
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "NaN" not in page
    assert ">None<" not in page
    return checker


def text_of(checker: Checker) -> str:
    return " ".join(" ".join(checker.words).split())


def test_the_verdict_comes_first(report: dict[str, Any]) -> None:
    text = text_of(checked(report))
    sentence = "The model answers income with accuracy 0.861 [0.856, 0.866] on 16,281 test rows"
    assert sentence in text
    assert "the quick baseline (gradient boosting) reaches 0.871: the baseline wins here" in text
    assert text.index(sentence) < text.index("Calibration")


def test_every_part_of_a_report_is_on_the_page(report: dict[str, Any]) -> None:
    checker = checked(report)
    text = text_of(checker)
    for word in (
        "ROC AUC", "Mistakes", "Precision and recall", "Classes", "Parts of the rows", "17 to 28", "Rows and answers",
        "Learning", "Loss", "Accuracy of income", "Cost", "148,226", "412 MB", "14 s", "Data", "marital_status",
        "Notes", "25 rows repeat", "The complete recipe", "epochs: 10", "Answers and truths", "Errors", "wage",
    ):  # fmt: skip
        assert word in text, word
    assert checker.tags.count("svg") > 30
    assert checker.tags.count("img") == 1


def test_nothing_but_the_page_is_needed(report: dict[str, Any]) -> None:
    page = render_html(report)
    for found in ADDRESS.finditer(page):
        assert page[found.start() : found.start() + 26] == 'src="data:image/png;base64', found[0]
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


EVIL = ["<script>alert(1)</script>", "</style><img src=x onerror=alert(1)>", "\"'><svg onload=alert(1)>", "{{ 7 * 7 }}"]


def poisoned(value: Any, evil: str) -> Any:
    """Every text of a report that comes from the data, replaced; keys that name columns and outputs too."""
    if isinstance(value, dict):
        return {key: item if key in KEPT else poisoned(item, evil) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, evil) for item in value]
    return evil + value if isinstance(value, str) else value


KEPT = {"kind", "main", "metric", "image", "binning", "output"}


@pytest.mark.parametrize("evil", EVIL)
def test_values_of_the_data_are_text_and_nothing_else(report: dict[str, Any], evil: str) -> None:
    bad = poisoned(report, evil)
    for section in ("metrics", "baselines", "compared", "confusion", "classes", "calibration", "curves", "slices"):
        bad[section] = {
            split: {evil + name: part for name, part in outputs.items()} for split, outputs in bad[section].items()
        }
    bad["outputs"] = {evil + name: part for name, part in bad["outputs"].items()}
    bad["slices"] = {
        split: {name: {evil + column: rows for column, rows in columns.items()} for name, columns in outputs.items()}
        for split, outputs in bad["slices"].items()
    }
    clean, dirty = checked(report), checked(bad)
    assert "script" not in dirty.tags
    assert set(dirty.tags) <= set(clean.tags)
    assert dirty.tags.count("img") == clean.tags.count("img")
    assert evil in " ".join(dirty.words)


def test_an_image_that_is_an_address_is_text(report: dict[str, Any]) -> None:
    bad = copy.deepcopy(report)
    bad["samples"][0]["inputs"]["photo"] = {"image": "https://example.org/x.png"}
    assert checked(bad).tags.count("img") == 0


@pytest.mark.parametrize("part", [
    "baselines", "compared", "confusion", "classes", "calibration", "curves", "slices", "history", "cost", "notes",
    "samples", "data", "title", "recipe", "rows", "outputs", "baseline_models",
])  # fmt: skip
def test_a_part_that_is_absent_is_left_out(report: dict[str, Any], part: str) -> None:
    lacking = {name: value for name, value in report.items() if name != part}
    assert "The model answers income" in text_of(checked(lacking))


def test_a_report_without_rows_says_so() -> None:
    assert "No rows with a truth were measured" in text_of(checked({"metrics": {}}))
    assert "No row of test has a truth for income" in text_of(checked({"metrics": {"test": {"income": {}}}}))


def test_one_epoch_and_one_class_and_one_row(report: dict[str, Any]) -> None:
    small = copy.deepcopy(report)
    small["history"] = small["history"][:1]
    small["confusion"]["test"]["income"] = {"labels": ["only"], "matrix": [[1]], "mistakes": []}
    small["metrics"]["test"]["income"] = {"accuracy": {"value": 1.0, "low": 0.2, "high": 1.0}}
    small["curves"]["test"]["wage"] = {
        "points": {"truth": [5.0], "answer": [5.0]}, "errors": {"counts": [1], "edges": [-0.5, 0.5], "beyond": 0},
    }  # fmt: skip
    checked(small)


@pytest.mark.parametrize("size", [3, 12, 13, 60])
def test_confusion_of_any_size_fits(report: dict[str, Any], size: int) -> None:
    labels = [f"class number {place}" for place in range(size)]
    matrix = [[100 if row == column else row for column in range(size)] for row in range(size)]
    report["confusion"]["test"]["income"] = {"labels": labels, "matrix": matrix, "mistakes": []}
    page = render_html(report)
    width = float(re.search(r'aria-label="Confusion matrix" viewBox="0 0 ([\d.]+)', page)[1])  # type: ignore[index]
    assert width < 620


def test_the_page_is_rendered_in_no_time(report: dict[str, Any]) -> None:
    render_html(report)
    started = time.perf_counter()
    render_html(report)
    assert time.perf_counter() - started < 0.3
