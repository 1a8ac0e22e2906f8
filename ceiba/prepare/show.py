"""A profile on a terminal and on a page."""

import html
from collections.abc import Mapping
from typing import Any

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTHS = {"name": 24, "what": 46}
BAR_WIDTH, BAR_HEIGHT = 6, 28
MANY = 10_000
LABELED = ("binary", "category")
HEAD = ("column", "kind", "role", "missing", "distinct", "values")


def profile_text(value: Mapping[str, Any]) -> str:
    """A profile as lines of text."""
    rows = ", ".join(f"{name} {count:,} rows" for name, count in value["rows"].items())
    lines = [f"{value['origin']}: {rows}, {len(value['columns'])} columns", ""]
    table = [HEAD, *(_cells(column, value["rows"]["train"]) for column in value["columns"])]
    widths = [max(len(row[place]) for row in table) for place in range(len(HEAD) - 1)]
    for row in table:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())
    for title, texts in (("Warnings", [one["text"] for one in value["warnings"]]), ("Notes", value["notes"])):
        if texts:
            lines += ["", title, *(f"  - {text}" for text in texts)]
    return "\n".join(lines)


def _cells(column: Mapping[str, Any], rows: int) -> tuple[str, ...]:
    missing = f"{column['missing'] / rows:.1%}" if rows and column["missing"] else "-"
    distinct = (
        "-"
        if column["kind"] in ("image", "vector")
        else f"{column['distinct']:,}"
        if column["is_exact"]
        else f"about {column['distinct']:,}"
    )
    return (_cut(column["name"], "name"), column["kind"], column["role"], missing, distinct, _values(column))


def _cut(text: str, what: str) -> str:
    flat = " ".join(str(text).split())
    return flat if len(flat) <= WIDTHS[what] else flat[: WIDTHS[what] - 1] + "…"


def number(value: object) -> str:
    """A figure with as many digits as tell something."""
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= MANY:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"


def _values(column: Mapping[str, Any]) -> str:
    if column["kind"] in LABELED:
        return _cut(", ".join(f"{label} ({count:,})" for label, count in column["top"]), "what")
    if column["histogram"] is not None:
        span = f"{number(column['low'])} … {number(column['high'])}, mean {number(column['mean'])}"
        return f"{span}  {_blocks(column['histogram']['counts'])}"
    if column["low"] is not None:
        return f"{column['low']} … {column['high']}"
    if column["kind"] == "text":
        return f"{column['words']:.1f} words, {column['characters']:.0f} characters on average"
    return _cut(", ".join(f"{label} ({count:,})" for label, count in column["top"]), "what")


def _blocks(counts: list[float]) -> str:
    most = max([*counts, 1])
    return "".join(BLOCKS[-(-int(count) * (len(BLOCKS) - 1) // int(most))] for count in counts)


def profile_html(value: Mapping[str, Any]) -> str:
    """A profile as a self-contained piece of a page."""
    rows = ", ".join(f"{html.escape(name)} {count:,} rows" for name, count in value["rows"].items())
    parts = [f"<div class='ceiba-profile'><h3>{html.escape(value['origin'])}</h3><p>{rows}</p>"]
    for title, texts in (("Warnings", [one["text"] for one in value["warnings"]]), ("Notes", value["notes"])):
        if texts:
            parts.append(f"<h4>{title}</h4><ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>")
    parts.append("<table><tr>" + "".join(f"<th>{head}</th>" for head in HEAD) + "</tr>")
    for column in value["columns"]:
        *cells, values = _cells(column, value["rows"]["train"])
        is_drawn = column["histogram"] is not None and column["kind"] not in LABELED
        picture = _picture(column["histogram"]["counts"]) if is_drawn else ""
        text = values.split("  ")[0] if picture else values
        cells_html = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        parts.append(f"<tr>{cells_html}<td>{picture} {html.escape(text)}</td></tr>")
    return "".join([*parts, "</table></div>"])


def _picture(counts: list[float]) -> str:
    """A histogram as a small drawing."""
    most = max([*counts, 1])
    bars = "".join(
        f"<rect x='{place * BAR_WIDTH}' y='{BAR_HEIGHT * (1 - count / most):.1f}' width='{BAR_WIDTH - 1}' "
        f"height='{BAR_HEIGHT * count / most:.1f}'/>"
        for place, count in enumerate(counts)
    )
    return f"<svg width='{BAR_WIDTH * len(counts)}' height='{BAR_HEIGHT}' fill='currentColor' role='img'>{bars}</svg>"
