"""A plot in SVG: scales, ticks with room to breathe, and marks that take their color from the page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor, log10

from markupsafe import Markup

from ceiba.report.wording import fixed, short_number

MOST_DECIMALS = 6
CHARACTER = 6.1
"""Width in pixels of a character at the size of the ticks, about."""


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within a range, one, two or five times a power of ten apart."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = -floor(-low / step * (1 + 1e-12 * (1 if low < 0 else -1)))
    return [place * step for place in range(first, first + 2 * most + 2) if place * step <= high + step * 1e-9]


def tick_texts(values: Sequence[float]) -> list[str]:
    """Labels of ticks with the same number of decimals, no more than tell them apart."""
    if len(values) < 2:
        return [short_number(value) for value in values]
    step = values[1] - values[0]
    if step >= 1e6 or step < 1e-5:
        return [f"{value:.3g}" for value in values]
    if step >= 1000:
        return [f"{fixed(value / 1000, 0)}k" if value else "0" for value in values]
    digits = max(0, -floor(log10(step) + 1e-9))
    while digits < MOST_DECIMALS and any(abs(round(value, digits) - value) > step * 1e-3 for value in values):
        digits += 1
    return [fixed(value, digits) for value in values]


@dataclass(frozen=True)
class Scale:
    """A range of values and the pixels it is drawn on."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + share * (self.end - self.start), 2)


def padded(values: Sequence[float], share: float = 0.05, least: float | None = None) -> tuple[float, float]:
    """Ends of a scale that holds all values with some room; a single value gets room of its own."""
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * share or 1.0
    return (low - room if least is None else max(low - room, least)), high + room


@dataclass
class Plot:
    """Marks on a canvas of fixed size; everything written is escaped."""

    name: str
    """What it shows, for those who cannot see it."""
    width: float
    height: float
    left: float = 40
    right: float = 10
    top: float = 22
    bottom: float = 34
    marks: list[Markup] = field(default_factory=list)

    def x(self, low: float, high: float) -> Scale:
        """A horizontal scale over the inner width."""
        return Scale(low, high, self.left, self.width - self.right)

    def y(self, low: float, high: float) -> Scale:
        """A vertical scale over the inner height, growing upwards."""
        return Scale(low, high, self.height - self.bottom, self.top)

    def add(self, form: str, *values: object) -> None:
        """One mark: a format string whose values are escaped."""
        self.marks.append(Markup(form).format(*values))

    def text(self, x: float, y: float, text: str, kind: str = "tick", anchor: str = "middle") -> None:
        """A text at a place."""
        self.add('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>', x, y, kind, anchor, text)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.add('<polyline points="{}" class="{}"/>', path, kind)

    def dot(self, x: float, y: float, radius: float, kind: str, title: str = "") -> None:
        """A dot; its title shows on hovering."""
        self.add(
            '<circle cx="{}" cy="{}" r="{}" class="{}"><title>{}</title></circle>', x, y, round(radius, 2), kind, title
        )

    def box(
        self, x: float, y: float, width: float, height: float, kind: str, opacity: float = 1, title: str = ""
    ) -> None:
        """A rectangle; its title shows on hovering."""
        self.add(
            '<rect x="{}" y="{}" width="{}" height="{}" class="{}" fill-opacity="{}"><title>{}</title></rect>',
            round(x, 2), round(y, 2), round(max(width, 0), 2), round(max(height, 0), 2), kind, round(opacity, 3), title,
        )  # fmt: skip

    def axes(self, x: Scale, y: Scale, x_name: str, y_name: str, x_ticks: Sequence[float] | None = None) -> None:
        """Ticks, faint lines across at the y ticks, and the names of both axes."""
        marks_y = ticks(y.low, y.high)
        for value, label in zip(marks_y, tick_texts(marks_y), strict=True):
            self.line([(self.left, y(value)), (self.width - self.right, y(value))], "grid")
            self.text(self.left - 6, y(value) + 4, label, anchor="end")
        marks_x = list(x_ticks) if x_ticks is not None else ticks(x.low, x.high)
        for value, label in zip(marks_x, tick_texts(marks_x), strict=True):
            self.text(x(value), self.height - self.bottom + 15, label)
        self.line(
            [(self.left, self.height - self.bottom), (self.width - self.right, self.height - self.bottom)], "axis"
        )
        self.text(self.width - self.right, self.height - 4, x_name, "name", "end")
        self.text(0, 11, y_name, "name", "start")

    def render(self) -> Markup:
        """The SVG element."""
        return Markup(
            '<svg class="plot" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>'
        ).format(self.name, self.width, self.height, self.width, self.height, Markup("").join(self.marks))


def label_width(labels: Sequence[str]) -> float:
    """Pixels that the widest of some labels takes, about; wide characters count double."""
    return (
        max((sum(2 if character > "\u2e7f" else 1 for character in label) for label in labels), default=0) * CHARACTER
    )
