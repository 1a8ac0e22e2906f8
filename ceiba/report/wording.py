"""Numbers as a person reads them."""

from collections.abc import Mapping
from math import ceil, floor, isfinite, log10
from typing import Any

FEWEST_DIGITS, MOST_DIGITS = 2, 4
DASH = "–"
MINUS = "−"
BYTES = ("B", "kB", "MB", "GB", "TB")
LARGE, SMALL = 1e7, 1e-4


def digits_of(figure: Mapping[str, float]) -> int:
    """Decimals that the interval supports: its half-width shows one significant digit, within reason."""
    half = (figure["high"] - figure["low"]) / 2
    size = abs(figure["value"])
    shown = 2 - floor(log10(size)) if size > 0 else FEWEST_DIGITS
    digits = ceil(-log10(half)) if half > 0 else shown
    fewest = FEWEST_DIGITS + (size <= 1) if size < 10 else 0
    return min(max(digits, fewest), MOST_DIGITS if size >= SMALL * 10 or size == 0 else 6)


def fixed(value: float, digits: int) -> str:
    """A number with that many decimals, thousands parted, a real minus sign."""
    text = f"{round(value, digits) + 0.0:,.{digits}f}"
    return MINUS + text[1:] if text.startswith("-") else text


def value_text(figure: Mapping[str, float] | None) -> str:
    """`0.861`, or a dash where there is no figure."""
    return DASH if figure is None else fixed(figure["value"], digits_of(figure))


def interval_text(figure: Mapping[str, float] | None) -> str:
    """`[0.856, 0.866]`; nothing where there is no figure."""
    if figure is None:
        return ""
    digits = digits_of(figure)
    return f"[{fixed(figure['low'], digits)}, {fixed(figure['high'], digits)}]"


def figure_text(figure: Mapping[str, float] | None) -> str:
    """`0.861 [0.856, 0.866]`."""
    return f"{value_text(figure)} {interval_text(figure)}".strip()


def count_text(count: float) -> str:
    """`16,281`."""
    return f"{count:,.0f}"


def large_count_text(count: float) -> str:
    """`148,226`, `14.8 M`, `1.24 B`."""
    if count < 1e7:
        return count_text(count)
    return f"{count / 1e6:.1f} M" if count < 1e9 else f"{count / 1e9:.2f} B"


def short_number(value: float) -> str:
    """At most four significant digits: `0.1234`, `1,234`, `1.2e+08`."""
    if value == 0 or not isfinite(value):
        return f"{value:g}"
    if abs(value) >= LARGE or abs(value) < SMALL:
        return f"{value:.3g}".replace("-", MINUS)
    digits = max(0, 3 - floor(log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def seconds_text(seconds: float) -> str:
    """`0.42 s`, `41 s`, `3.2 min`, `2.1 h`."""
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3570 else f"{seconds / 3600:.1f} h"


def bytes_text(count: float) -> str:
    """`412 MB`, in powers of a thousand."""
    for unit in BYTES:
        if count < 1000 or unit == BYTES[-1]:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit takes everything")


def percent_text(share: float) -> str:
    """`23.6 %`, `0.1 %`, `< 0.1 %`."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.9995 else f"{100 * share:.0f} %"


def cell_text(value: Any) -> str:
    """One value of the data: text as it is, numbers short, nothing as a dash."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return short_number(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(cell_text, value)) or DASH
    return str(value)


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
