"""Strips: plots one line high whose marks are placed in percent, so they fit any width without distorting."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ceiba.report.svg import padded
from ceiba.report.wording import figure_text

EDGE = 3.0
"""Percent kept free at either end."""
ROOM = 0.35
"""Room to the left of model and quick model, in their own span."""
MARKS = {"model": "circle", "quick": "diamond", "constant": "bar"}
HEIGHTS = {"model": 34, "quick": 66, "constant": 50}
"""Percent of the height at which a mark lies, so that overlapping intervals are told apart."""


def place(value: float, low: float, high: float) -> float:
    """Where a value lies, in percent of the width."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(EDGE + (100 - 2 * EDGE) * min(max(share, 0.0), 1.0), 2)


def dot_strip(figures: Mapping[str, Mapping[str, float] | None], better: str) -> Markup:
    """Model and baselines on one scale with their intervals, the better end always to the right."""
    there = {name: figure for name, figure in figures.items() if figure is not None}
    sign = 1.0 if better == "higher" else -1.0
    near = [name for name in there if name != "constant"] if "quick" in there else list(there)
    ends = [sign * figure[end] for name, figure in there.items() if name in near for end in ("low", "high")]
    if len(there) < 2:
        return Markup("")
    low, high = padded(ends, 0.02)
    # Model and quick model are told apart on a scale of their own; a far constant only points its way.
    low -= ROOM * (high - low) * (len(near) < len(there))
    marks = [Markup('<line x1="0" x2="100%" y1="50%" y2="50%" class="rail"/>')]
    for name in ("constant", "quick", "model"):
        if name in there:
            figure = there[name]
            if not low <= sign * figure["value"] <= high:
                marks.append(beyond(name, sign * figure["value"] > high, figure_text(figure)))
                continue
            x, first, last = (place(sign * figure[end], low, high) for end in ("value", "low", "high"))
            text = f"{name}: {figure_text(figure)}"
            marks.append(interval_mark(name, x, min(first, last), max(first, last), text, HEIGHTS[name]))
    return strip(marks, "model and baselines, better to the right")


def beyond(name: str, right: bool, text: str) -> Markup:
    """A mark at the edge: this one lies off the scale."""
    form = '<g class="{}"><title>{}</title><svg x="{}%" y="50%" class="mark"><path d="{}"/></svg></g>'
    shape = "M0 -5L6 0L0 5Z" if right else "M0 -5L-6 0L0 5Z"
    return Markup(form).format(name, f"{name}, off the scale: {text}", 100 if right else 1.2, shape)


def interval_mark(name: str, x: float, first: float, last: float, title: str, y: float = 50) -> Markup:
    """A mark with its interval."""
    form = (
        '<g class="{0}"><title>{1}</title><line x1="{2}%" x2="{3}%" y1="{6}%" y2="{6}%" class="interval"/>'
        '<svg x="{4}%" y="{6}%" class="mark">{5}</svg></g>'
    )
    shapes = {
        "circle": '<circle r="5"/>',
        "diamond": '<path d="M0 -6L6 0L0 6L-6 0Z"/>',
        "bar": '<path d="M-1.5 -8h3v16h-3z"/>',
    }
    return Markup(form).format(name, title, first, last, x, Markup(shapes[MARKS[name]]), y)


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
