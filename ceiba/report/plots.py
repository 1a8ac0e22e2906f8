"""The plots of the page. Marks name their color by class; style.css gives it for light, dark and paper."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from markupsafe import Markup

from ceiba.report.svg import Plot, label_width, padded, ticks
from ceiba.report.wording import count_text, cut, percent_text, short_number

WIDTH, HEIGHT = 352, 268
WIDEST = 400
"""Side of the largest confusion matrix, without its labels."""
MOST_NUMBERED = 12
MOST_LABEL = 16
HALF = 0.5
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)

Curve = Mapping[str, Sequence[float]]


def lines_plot(
    name: str, x_name: str, y_name: str, series: Mapping[str, Sequence[tuple[float, float]]], best: float | None = None
) -> Markup:
    """Curves over training, each named at its end; a line where the best epoch is."""
    points = [point for line in series.values() for point in line]
    if not points:
        return Markup("")
    longest = max(label_width([label]) for label in series)
    plot = Plot(name, WIDTH, HEIGHT, left=46, right=min(longest + 14, 120))
    steps = sorted({x for x, _ in points})
    x = plot.x(steps[0], steps[-1]) if len(steps) > 1 else plot.x(steps[0] - 1, steps[0] + 1)
    y = plot.y(*padded([value for _, value in points], 0.08))
    whole = [value for value in ticks(x.low, x.high) if value == round(value)]
    plot.axes(x, y, x_name, y_name, whole)
    if best is not None and x.low <= best <= x.high and len(steps) > 1:
        plot.line([(x(best), plot.top), (x(best), plot.height - plot.bottom)], "whole")
        plot.text(x(best), plot.top - 2, "best", "tick")
    ends: list[float] = []
    for index, (label, line) in enumerate(series.items()):
        plot.line([(x(at), y(value)) for at, value in line], f"series series{index % 4}")
        if len(line) == 1:
            plot.dot(x(line[0][0]), y(line[0][1]), 3.5, f"seriesdot series{index % 4}")
        height = apart(y(line[-1][1]), ends, 14)
        ends.append(height)
        plot.text(x(line[-1][0]) + 6, height + 4, label, f"label label{index % 4}", "start")
    return plot.render()


def apart(height: float, taken: Sequence[float], gap: float) -> float:
    """A height near the wanted one that keeps its distance from those taken."""
    for shift in (0, gap, -gap, 2 * gap, -2 * gap, 3 * gap, -3 * gap):
        near = [other for other in taken if abs(other - height) < gap]
        if not near:
            return height
        height = near[0] + (gap if shift >= 0 else -gap)
    return height


def roc_plot(curve: Curve, area: str) -> Markup:
    """True positive rate over false positive rate."""
    plot = Plot(f"ROC curve, area {area}", WIDTH, HEIGHT)
    x, y = plot.x(0, 1), plot.y(0, 1)
    plot.axes(x, y, "false positive rate", "true positive rate", QUARTERS)
    plot.line([(x(0), y(0)), (x(1), y(1))], "reference")
    area_under(plot, [(x(a), y(b)) for a, b in zip(curve["x"], curve["y"], strict=True)], y(0))
    plot.text(x(0.97), y(0.06), f"AUC {area}", "note", "end")
    return plot.render()


def pr_plot(curve: Curve, area: str, share: float) -> Markup:
    """Precision over recall; the dashed line is what chance gives."""
    plot = Plot(f"Precision and recall, average precision {area}", WIDTH, HEIGHT)
    x, y = plot.x(0, 1), plot.y(0, 1)
    plot.axes(x, y, "recall", "precision", QUARTERS)
    plot.line([(x(0), y(share)), (x(1), y(share))], "reference")
    plot.text(x(0.01), y(share) - 5, f"by chance {percent_text(share)}", "tick", "start")
    area_under(plot, [(x(a), y(b)) for a, b in zip(curve["x"], curve["y"], strict=True)], y(0))
    plot.text(x(0.03), y(0.06), f"average precision {area}", "note", "start")
    return plot.render()


def area_under(plot: Plot, points: Sequence[tuple[float, float]], floor: float) -> None:
    """A curve with a faint area below it."""
    path = " ".join(f"{x:g},{y:g}" for x, y in [(points[0][0], floor), *points, (points[-1][0], floor)])
    plot.add('<polygon points="{}" class="area"/>', path)
    plot.line(points, "series series0")


def calibration_plot(section: Mapping[str, Any]) -> Markup:
    """Observed share over stated probability, with Wilson intervals; bars tell how many rows a bin holds."""
    bins = section["bins"]
    plot = Plot("Calibration: observed share over stated probability", WIDTH, HEIGHT)
    x, y = plot.x(0, 1), plot.y(0, 1)
    plot.axes(x, y, section.get("of", "probability"), "observed share", QUARTERS)
    most = max((entry["rows"] for entry in bins), default=1)
    for entry in bins:
        tall = 44 * entry["rows"] / most
        left, right = x(entry["from"]), x(entry["to"])
        plot.box(left + 0.5, y(0) - tall, right - left - 1, tall, "mass", title=f"{entry['rows']:,} rows")
    plot.line([(x(0), y(0)), (x(1), y(1))], "reference")
    for entry in bins:
        at = x(entry["confidence"])
        plot.line([(at, y(entry["share_low"])), (at, y(entry["share_high"]))], "interval")
        title = f"says {percent_text(entry['confidence'])}, is {percent_text(entry['share'])} of {entry['rows']:,} rows"
        plot.dot(at, y(entry["share"]), 2.5 + 2.5 * sqrt(entry["rows"] / most), "point", title)
    plot.text(x(0.03), y(0.94), f"calibration error {short_number(round(section['ece'] or 0.0, 4))}", "note", "start")
    return plot.render()


def confusion_plot(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Markup:
    """Truths down, answers across; color is the share of the truth's rows, right ones apart from mistakes."""
    size = len(labels)
    shown = [cut(str(label), MOST_LABEL) for label in labels]
    numbered = size <= MOST_NUMBERED
    cell = max(min(64.0, (WIDEST - size) / size), 6.0) if size > 2 else 96.0
    left = min(label_width(shown), MOST_LABEL * 6.4) + 12 if cell >= 9 else 14
    slanted = label_width(shown) > size * cell or max(map(label_width, ([text] for text in shown))) > cell - 6
    top = 26 + (left * 0.62 if slanted and cell >= 9 else 12)
    plot = Plot("Confusion matrix", left + size * cell + (34 if slanted else 8), top + size * cell + 6)
    plot.text(0, 11, "truth ↓  answer →", "name", "start")
    for row, counts in enumerate(matrix):
        total = sum(counts)
        if cell >= 9:
            plot.text(left - 6, top + (row + HALF) * cell + 4, shown[row], anchor="end")
            across(plot, left + (row + HALF) * cell, top - 6, shown[row], slanted)
        for column, count in enumerate(counts):
            share = count / total if total else 0.0
            kind = "right" if row == column else "wrong"
            title = f"{labels[row]} answered as {labels[column]}: {count:,} rows, {percent_text(share)}"
            x, y = left + column * cell, top + row * cell
            plot.box(x, y, cell - 1, cell - 1, "empty", title=title)
            plot.box(x, y, cell - 1, cell - 1, kind, opacity=sqrt(share), title=title)
            if numbered:
                inside(plot, x + cell / 2, y + cell / 2, count, share, cell)
    return plot.render()


def across(plot: Plot, x: float, y: float, text: str, slanted: bool) -> None:
    """A heading of a column, slanted where it would not fit."""
    if slanted:
        plot.add(
            '<text transform="translate({} {}) rotate(-38)" class="tick">{}</text>', round(x, 1), round(y, 1), text
        )
    else:
        plot.text(x, y, text)


def inside(plot: Plot, x: float, y: float, count: int, share: float, cell: float) -> None:
    """The rows of a cell, and their share where there is room."""
    kind = "strong" if share > 0.35 else "faint" if count == 0 else "cell"
    text = count_text(count) if cell > 40 or count < 10_000 else f"{count / 1000:.0f}k"
    if cell >= 48:
        plot.text(x, y, text, f"{kind} large")
        plot.text(x, y + 15, percent_text(share), kind)
    else:
        plot.text(x, y + 4, text, kind)


def points_plot(section: Mapping[str, Any], name: str) -> Markup:
    """Answers over truths; on the line they agree."""
    truths, answers = section["truth"], section["answer"]
    plot = Plot(f"Answers over truths of {name}", WIDTH, HEIGHT, left=48)
    low, high = padded([*truths, *answers], 0.03)
    x, y = plot.x(low, high), plot.y(low, high)
    plot.axes(x, y, "truth", "answer")
    plot.line([(x(low), y(low)), (x(high), y(high))], "reference")
    for truth, answer in zip(truths, answers, strict=True):
        title = f"truth {short_number(truth)}, answer {short_number(answer)}"
        plot.dot(x(truth), y(answer), 2.2, "cloud", title)
    return plot.render()


def errors_plot(section: Mapping[str, Any]) -> Markup:
    """How often which error is made: answer minus truth."""
    counts, edges = section["counts"], section["edges"]
    plot = Plot("Histogram of errors", WIDTH, HEIGHT)
    x, y = plot.x(edges[0], edges[-1]), plot.y(0, max(max(counts), 1) * 1.05)
    plot.axes(x, y, "answer minus truth", "rows")
    for count, first, last in zip(counts, edges[:-1], edges[1:], strict=True):
        title = f"{short_number(first)} to {short_number(last)}: {count:,} rows"
        plot.box(x(first) + 0.5, y(count), x(last) - x(first) - 1, y(0) - y(count), "barmark", title=title)
    if edges[0] < 0 < edges[-1]:
        plot.line([(x(0), plot.top), (x(0), y(0))], "whole")
    return plot.render()
