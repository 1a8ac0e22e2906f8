"""Report → one HTML page that needs nothing else: no script, no address, plots in the text."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ceiba import __version__
from ceiba.report.compression import compression_view
from ceiba.report.run_sections import cautions, cost_view, data_rows, learning, sample_views, tiles
from ceiba.report.sections import View, output_view
from ceiba.report.verdict import Report, main_split, rows_text, verdicts

FOLDER = Path(__file__).parent


@cache
def templates() -> Environment:
    """The room's templates; every value is escaped unless a plot made it."""
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_view(report: Report) -> View:
    """What the template shows, in its order; parts that the report lacks are empty."""
    split = main_split(report)
    warnings, notes = cautions(report)
    outputs = list(report["metrics"][split]) if split else []
    return {
        "title": str(report.get("title") or " and ".join(outputs) or "report"),
        "rows_name": rows_text(split or ""),
        "verdicts": verdicts(report),
        "tiles": tiles(report, split),
        "outputs": [output_view(report, split, output) for output in outputs] if split else [],
        "compression": compression_view(report),
        "learning": learning(report),
        "data": data_rows(report),
        "origin": (report.get("data") or {}).get("origin", ""),
        "cost": cost_view(report),
        "samples": sample_views(report),
        "warnings": warnings,
        "notes": notes,
        "recipe": report.get("recipe") or "",
        "version": __version__,
    }


def render_html(report: dict[str, Any]) -> str:
    """The page of a report, whole; sections without content are not on it."""
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
    return templates().get_template("page.html.jinja").render(style=style, **page_view(report))
