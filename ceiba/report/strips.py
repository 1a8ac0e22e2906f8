"""Strips: plots one line high whose marks are placed in percent, so they fit any width without distorting."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ceiba.report.svg import padded
from ceiba.report.wording import figure_text

EDGE = 3.0
"""Percent kept free at either end."""
MARKS = {"model": "circle", "quick": "diamond", "constant": "bar"}


def place(value: float, low: float, high: float) -> float:
    """Where a value lies, in percent of the width."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(EDGE + (100 - 2 * EDGE) * min(max(share, 0.0), 1.0), 2)


def dot_strip(figures: Mapping[str, Mapping[str, float] | None], better: str) -> Markup:
    """Model and baselines on one scale with their intervals, the better end always to the right."""
    there = {name: figure for name, figure in figures.items() if figure is not None}
    sign = 1.0 if better == "higher" else -1.0
    ends = [sign * figure[end] for figure in there.values() for end in ("low", "high")]
    if not ends:
        return Markup("")
    low, high = padded(ends, 0.02)
    marks = [Markup('<line x1="0" x2="100%" y1="50%" y2="50%" class="rail"/>')]
    for name in ("constant", "quick", "model"):
        if name in there:
            figure = there[name]
            x, first, last = (place(sign * figure[end], low, high) for end in ("value", "low", "high"))
            marks.append(interval_mark(name, x, min(first, last), max(first, last), f"{name}: {figure_text(figure)}"))
    return strip(marks, "model and baselines, better to the right")


def interval_mark(name: str, x: float, first: float, last: float, title: str) -> Markup:
    """A mark with its interval."""
    form = (
        '<g class="{}"><title>{}</title><line x1="{}%" x2="{}%" y1="50%" y2="50%" class="interval"/>'
        '<svg x="{}%" y="50%" class="mark">{}</svg></g>'
    )
    shapes = {
        "circle": '<circle r="5"/>',
        "diamond": '<path d="M0 -6L6 0L0 6L-6 0Z"/>',
        "bar": '<path d="M-1.5 -8h3v16h-3z"/>',
    }
    return Markup(form).format(name, title, first, last, x, Markup(shapes[MARKS[name]]))


def strip(marks: Sequence[Markup], name: str) -> Markup:
    """The SVG element of a strip."""
    return Markup('<svg class="strip" role="img" aria-label="{}">{}</svg>').format(name, Markup("").join(marks))


def slice_strip(figure: Mapping[str, float], whole: float, low: float, high: float) -> Markup:
    """One part's figure with its interval, and a line where all rows together stand."""
    x, first, last, middle = (
        place(value, low, high) for value in (figure["value"], figure["low"], figure["high"], whole)
    )
    rail = Markup('<line x1="0" x2="100%" y1="50%" y2="50%" class="rail"/>')
    line = Markup('<line x1="{0}%" x2="{0}%" y1="0" y2="100%" class="whole"/>').format(middle)
    return strip([rail, line, interval_mark("model", x, first, last, figure_text(figure))], figure_text(figure))


def histogram_strip(counts: Sequence[float], name: str) -> Markup:
    """Bars of a small histogram."""
    most = max(counts, default=0)
    if most <= 0:
        return Markup("")
    width = 100 / len(counts)
    bars = [
        Markup('<rect x="{}%" y="{}%" width="{}%" height="{}%"/>').format(
            round(width * index + width * 0.08, 2), round(100 - 100 * count / most, 1),
            round(width * 0.84, 2), round(100 * count / most, 1),
        )
        for index, count in enumerate(counts)
    ]  # fmt: skip
    return Markup('<svg class="mini" role="img" aria-label="{}">{}</svg>').format(name, Markup("").join(bars))


def share_bar(share: float) -> Markup:
    """A bar from 0 to 1."""
    return Markup(
        '<svg class="bar" aria-hidden="true"><rect width="100%" height="100%" class="rail"/>'
        '<rect width="{}%" height="100%"/></svg>'
    ).format(round(100 * min(max(share, 0.0), 1.0), 1))


def phase_bar(phases: Sequence[tuple[str, float]]) -> Markup:
    """Time of the phases side by side."""
    total = sum(seconds for _, seconds in phases) or 1.0
    start, bars = 0.0, []
    for index, (name, seconds) in enumerate(phases):
        share = 100 * seconds / total
        bars.append(
            Markup('<rect x="{}%" width="{}%" height="100%" class="phase phase{}"><title>{}</title></rect>').format(
                round(start, 2), round(share, 2), index % 6, name
            )
        )
        start += share
    return Markup('<svg class="phases" role="img" aria-label="time by phase">{}</svg>').format(Markup("").join(bars))


def interval_ends(figures: Sequence[Mapping[str, Any]], whole: float) -> tuple[float, float]:
    """A scale that holds the intervals of several figures and the value of all rows."""
    return padded([whole, *(figure[end] for figure in figures for end in ("low", "high"))], 0.04)
