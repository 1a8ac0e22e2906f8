"""The parts of the page about the run and its data: tiles, learning, columns, cost, samples."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ceiba.metrics import METRICS
from ceiba.report.plots import lines_plot
from ceiba.report.sections import View
from ceiba.report.strips import histogram_strip, phase_bar
from ceiba.report.verdict import Report, main_metric, rows_text
from ceiba.report.wording import (
    bytes_text,
    cell_text,
    count_text,
    cut,
    interval_text,
    large_count_text,
    percent_text,
    seconds_text,
    value_text,
)

MOST_TILES = 3
MOST_PLOTS = 3
MOST_INPUTS = 16
MOST_CELL = 160


def tiles(report: Report, split: str | None) -> list[View]:
    """The few figures that are looked for first."""
    found = []
    outputs = report.get("metrics", {}).get(split, {}) if split else {}
    for output, metrics in list(outputs.items())[:MOST_TILES]:
        if name := main_metric(report, output, metrics):
            title = METRICS[name].title + (f" of {output}" if len(outputs) > 1 else "")
            found.append({"title": title, "value": value_text(metrics[name]), "note": interval_text(metrics[name])})
    cost = report.get("cost", {})
    rows = {name: counts["rows"] for name, counts in report.get("rows", {}).items()}
    rows |= report.get("data", {}).get("rows", {})
    if rows:
        others = " · ".join(f"{count_text(count)} {name}" for name, count in rows.items() if name != split)
        found.append({"title": rows_text(split or ""), "value": count_text(rows.get(split or "", 0)), "note": others})
    if "parameters" in cost:
        found.append({"title": "Parameters", "value": large_count_text(cost["parameters"]), "note": ""})
    if "seconds" in cost:
        speed = cost.get("train_rows_per_second")
        note = f"{count_text(speed)} training rows/s" if speed else ""
        found.append({"title": "Time", "value": seconds_text(cost["seconds"]), "note": note})
    if cost.get("peak_memory_bytes"):
        found.append({"title": "Peak memory", "value": bytes_text(cost["peak_memory_bytes"]), "note": ""})
    return found


def learning(report: Report) -> list[View]:
    """Plots of the history: the loss, then every other figure of the validation rows."""
    history = report.get("history") or []
    best = report.get("cost", {}).get("best_epoch")
    at = "epoch" if all("epoch" in row for row in history) else "step"
    losses = {name: _series(history, at, f"{name}_loss") for name in ("train", "valid")}
    plots = [("Loss", {name: line for name, line in losses.items() if line})]
    keys = dict.fromkeys(key for row in history for key in row if key.startswith("valid_") and key != "valid_loss")
    for key in list(keys)[:MOST_PLOTS]:
        output, _, metric = key.removeprefix("valid_").rpartition("_")
        title = f"{METRICS[metric].title if metric in METRICS else metric} of {output}" if output else metric
        if line := _series(history, at, key):
            plots.append((title, {"valid": line}))
    return [
        {"title": title, "svg": lines_plot(f"{title} over training", at, "", series, best)}
        for title, series in plots
        if series
    ]


def _series(history: Sequence[Mapping[str, Any]], at: str, key: str) -> list[tuple[float, float]]:
    return [(float(row[at]), float(row[key])) for row in history if isinstance(row.get(key), int | float) and at in row]


def data_rows(report: Report) -> list[View]:
    """The columns of the data: kind, role, missing share, what they hold."""
    data = report.get("data") or {}
    total = data.get("rows", {}).get("train") or sum(data.get("rows", {}).values())
    rows = []
    for column in data.get("columns", []):
        missing = column.get("missing") or 0
        histogram = column.get("histogram") or {}
        distinct = column.get("distinct")
        about = "" if column.get("is_exact", True) else "≈ "
        rows.append({
            "name": column["name"], "kind": column.get("kind", ""), "role": column.get("role", ""),
            "missing": percent_text(missing / total) if total else "",
            "distinct": "" if distinct is None else f"{about}{count_text(distinct)}",
            "holds": holds(column),
            "mini": histogram_strip(histogram.get("counts", []), f"histogram of {column['name']}") or top_strip(column),
        })  # fmt: skip
    return rows


def is_text(column: Mapping[str, Any]) -> bool:
    """Whether a column holds free text, of which single values tell nothing."""
    return column.get("kind") == "text" and column.get("words") is not None


def holds(column: Mapping[str, Any]) -> str:
    """What a column holds, in a few words."""
    if column.get("low") is not None:
        text = f"{cell_text(column['low'])} to {cell_text(column['high'])}"
        return text + (f", mean {cell_text(column['mean'])}" if column.get("mean") is not None else "")
    if is_text(column):
        return f"{column['words']:.1f} words, {column['characters']:.0f} characters on average"
    return cut(", ".join(cut(str(label), 24) for label, _ in column.get("top", [])[:4]), 90)


def top_strip(column: Mapping[str, Any]) -> Markup:
    """Bars of the most frequent values of a column without a histogram."""
    if is_text(column):
        return Markup("")
    return histogram_strip([count for _, count in column.get("top", [])], f"most frequent values of {column['name']}")


def cost_view(report: Report) -> View:
    """Time by phase as a bar with its legend."""
    phases = [(name, float(seconds)) for name, seconds in report.get("cost", {}).get("phases", {}).items()]
    legend = [
        {"name": name, "time": seconds_text(seconds), "place": index % 6}
        for index, (name, seconds) in enumerate(phases)
    ]
    return {"bar": phase_bar(phases) if phases else "", "legend": legend}


def sample_views(report: Report) -> list[View]:
    """Rows with answer and truth; images are shown, long texts cut. Of numbers and written texts, which are hardly ever
    equal to the truth, none is called right or wrong."""
    views, kinds = [], report.get("outputs", {})
    for sample in report.get("samples", []):
        cells = list(sample.get("inputs", {}).items())
        outputs = []
        for name, output in sample.get("outputs", {}).items():
            is_free = isinstance(output["answer"], float) or kinds.get(name, {}).get("kind") == "sequence"
            right = None if output.get("truth") is None or is_free else output["answer"] == output["truth"]
            outputs.append({
                "name": name, "answer": cell_text(output["answer"]), "truth": cell_text(output.get("truth")),
                "sure": percent_text(output["probability"]) if "probability" in output else "", "right": right,
            })  # fmt: skip
        views.append({
            "why": sample.get("why", ""), "row": count_text(sample.get("row", 0)), "split": sample.get("split", ""),
            "outputs": outputs,
            "images": [(name, value["image"]) for name, value in cells if is_image(value)],
            "cells": [(name, shown_cell(value)) for name, value in cells[:MOST_INPUTS] if not is_image(value)],
            "more": max(0, len(cells) - MOST_INPUTS),
        })  # fmt: skip
    return views


def shown_cell(value: object) -> str:
    """A cell as text of bounded length."""
    return cut(cell_text(value), MOST_CELL)


def is_image(value: object) -> bool:
    """Whether a cell is a picture that is held in the page itself."""
    return isinstance(value, Mapping) and str(value.get("image", "")).startswith("data:image/")


def cautions(report: Report) -> tuple[list[str], list[str]]:
    """(warnings, notes): warnings of the data before notes of the run, none twice."""
    data = report.get("data") or {}
    warnings = [one["text"] if isinstance(one, Mapping) else str(one) for one in data.get("warnings", [])]
    notes = [str(note) for note in (*report.get("notes", []), *data.get("notes", []))]
    return list(dict.fromkeys(warnings)), [note for note in dict.fromkeys(notes) if note not in warnings]
