"""The parts of the page about one output: figures, mistakes, calibration, curves, classes, slices."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ceiba.metrics import METRICS
from ceiba.report.plots import calibration_plot, confusion_plot, errors_plot, points_plot, pr_plot, roc_plot
from ceiba.report.strips import dot_strip, interval_ends, share_bar, slice_strip
from ceiba.report.verdict import Report, main_metric
from ceiba.report.wording import DASH, count_text, fixed, interval_text, value_text

MOST_CLASSES = 20
KINDS = {
    "binary": "one of two classes",
    "classes": "one of several classes",
    "labels": "any number of labels",
    "number": "a number",
    "preference": "the better of two answers",
    "sequence": "a text that is written",
    "span": "a part of a text",
    "tags": "a tag a word",
    "text": "the tokens of a text",
}
"""Answer kind → what it is, for a person."""
View = dict[str, Any]


def at(report: Report, part: str, split: str, output: str) -> Any:
    """A section of one split and output, None where it is absent."""
    return report.get(part, {}).get(split, {}).get(output)


def figure_rows(report: Report, split: str, output: str) -> list[View]:
    """The table of figures: the model beside both baselines, in the catalog's order."""
    metrics = report["metrics"][split][output]
    baselines = at(report, "baselines", split, output) or {}
    rows = []
    for name in sorted(metrics, key=lambda name: list(METRICS).index(name) if name in METRICS else len(METRICS)):
        metric = METRICS.get(name)
        better = metric.better if metric else "higher"
        figures = {
            "model": metrics[name],
            **{kind: baselines.get(kind, {}).get(name) for kind in ("quick", "constant")},
        }
        rows.append({
            "title": metric.title if metric else name,
            "meaning": metric.meaning if metric else "",
            "arrow": "↑" if better == "higher" else "↓",
            "value": value_text(figures["model"]),
            "interval": interval_text(figures["model"]),
            "quick": value_text(figures["quick"]),
            "constant": value_text(figures["constant"]),
            "strip": dot_strip(figures, better),
        })  # fmt: skip
    return rows


def baselines_there(report: Report, split: str, output: str) -> list[str]:
    """The baselines that were measured, the stronger first."""
    found = at(report, "baselines", split, output) or {}
    return [name for name in ("quick", "constant") if found.get(name)]


def plots_of(report: Report, split: str, output: str) -> list[View]:
    """The plots that one output has, each with a title and a sentence on how to read it."""
    found: list[tuple[str, str, Markup]] = []
    metrics = report["metrics"][split][output]
    if (confusion := at(report, "confusion", split, output)) and "matrix" in confusion:
        note = "Each row is a truth; color is the share of its rows answered so."
        found.append(("Mistakes", note, confusion_plot(confusion["labels"], confusion["matrix"])))
    if (calibration := at(report, "calibration", split, output)) and calibration["bins"]:
        note = "On the dashed line a stated probability comes true as often as it says."
        found.append(("Calibration", note, calibration_plot(calibration)))
    curves = at(report, "curves", split, output) or {}
    if "roc" in curves and "roc_auc" in metrics:
        note = f"Every threshold for {curves['positive']}."
        found.append(("ROC", note, roc_plot(curves["roc"], value_text(metrics["roc_auc"]))))
    if "pr" in curves and "average_precision" in metrics:
        area = value_text(metrics["average_precision"])
        note = f"Precision paid for finding more of {curves['positive']}."
        found.append(("Precision and recall", note, pr_plot(curves["pr"], area, curves["share"])))
    if "points" in curves:
        found.append(("Answers and truths", "On the dashed line they agree.", points_plot(curves["points"], output)))
    if "errors" in curves:
        beyond = curves["errors"].get("beyond", 0)
        note = f"{count_text(beyond)} rows lie beyond the ends." if beyond else "All measured rows."
        found.append(("Errors", note, errors_plot(curves["errors"])))
    return [{"title": title, "note": note, "svg": svg, "wide": title == "Mistakes"} for title, note, svg in found]


def class_rows(report: Report, split: str, output: str) -> tuple[list[View], list[View]]:
    """Figures of the classes: those shown, and the rest; many classes are ordered worst first."""
    table = at(report, "classes", split, output) or []
    if len(table) > MOST_CLASSES:
        table = sorted(table, key=lambda row: (row["f1"] is None, row["f1"]))
    rows = [
        {
            "label": row["label"],
            "support": count_text(row["support"]),
            **{name: DASH if row[name] is None else fixed(row[name], 3) for name in ("precision", "recall", "f1")},
            "bar": share_bar(row["f1"] or 0.0),
        }
        for row in table
    ]
    return rows[:MOST_CLASSES], rows[MOST_CLASSES:]


def mistake_rows(report: Report, split: str, output: str) -> list[View]:
    """The most frequent mistakes, where the classes are too many for a glance at the matrix."""
    confusion = at(report, "confusion", split, output)
    if not confusion or len(confusion["labels"]) <= 2:
        return []
    return [{**row, "rows": count_text(row["rows"])} for row in confusion.get("mistakes", [])[:5]]


def slice_tables(report: Report, split: str, output: str) -> list[View]:
    """One table a column: each part's main figure with its interval, and the value of all rows."""
    metrics = report["metrics"][split][output]
    name = main_metric(report, output, metrics)
    if name is None:
        return []
    whole = metrics[name]["value"]
    tables = []
    for column, parts in (at(report, "slices", split, output) or {}).items():
        measured: Sequence[Mapping[str, Any]] = [part for part in parts if name in part["metrics"]]
        low, high = interval_ends([part["metrics"][name] for part in measured], whole)
        rows = [
            {
                "value": part["value"],
                "rows": count_text(part["rows"]),
                "figure": value_text(part["metrics"][name]),
                "interval": interval_text(part["metrics"][name]),
                "strip": slice_strip(part["metrics"][name], whole, low, high),
            }
            for part in measured
        ]
        title = METRICS[name].title if name in METRICS else name
        tables.append({"column": column, "metric": title, "rows": rows, "whole": value_text(metrics[name])})
    return [table for table in tables if table["rows"]]


def output_view(report: Report, split: str, output: str) -> View:
    """Everything about one output on one split."""
    kind = report.get("outputs", {}).get(output, {})
    shown, rest = class_rows(report, split, output)
    models = report.get("baseline_models", {}).get(output, {})
    return {
        "name": output,
        "kind": KINDS.get(kind.get("kind", ""), "an answer"),
        "threshold": kind.get("threshold"),
        "figures": figure_rows(report, split, output),
        "baselines": baselines_there(report, split, output),
        "baseline_models": [(name, models[name]) for name in ("quick", "constant") if name in models],
        "plots": plots_of(report, split, output),
        "classes": shown,
        "more_classes": rest,
        "class_note": "Worst first." if rest else "What was found of each, and how often its name was right.",
        "mistakes": mistake_rows(report, split, output),
        "slices": slice_tables(report, split, output),
        "others": [
            {
                "split": other,
                "figures": figure_rows(report, other, output),
                "baselines": baselines_there(report, other, output),
            }
            for other in report["metrics"]
            if other != split and report["metrics"][other].get(output)
        ],
    }
