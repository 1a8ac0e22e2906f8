"""The part of the page about compression: every candidate beside the original, and the front of the best."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ceiba.report.plots import HEIGHT
from ceiba.report.svg import Plot, padded
from ceiba.report.verdict import Report
from ceiba.report.wording import DASH, fixed

WIDE = 560
NAMED = 6
"""Most candidates of the front that are named in the plot."""
View = dict[str, Any]


def lost(row: Mapping[str, Any]) -> Mapping[str, float]:
    """Points lost by the output that lost most."""
    found: Mapping[str, float] = max(row["drop"].values(), key=lambda one: one["high"])
    return found


def front(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The candidates that no other beats in both time and quality (Pareto), the fastest first."""
    order = sorted(rows, key=lambda row: (row["ratios"]["latency"], lost(row)["value"]))
    best, found = float("inf"), []
    for row in order:
        if lost(row)["value"] < best:
            best = lost(row)["value"]
            found.append(row["name"])
    return found


def compression_view(report: Report) -> View | None:
    """The goal, the table and the plot; None for a report without compression."""
    found = report.get("compression")
    if not found:
        return None
    measured = [row for row in found["candidates"] if "ratios" in row]
    machine = found["machine"]
    products = "with" if machine["integer_products"] else "without"
    about = (
        f"goal: {found['goal']}; {found['rows']:,} {found['split']} rows; {machine['processor']}, {found['threads']} "
        f"thread{'s' if found['threads'] != 1 else ''}, {products} fast integer products"
    )
    return {"about": about, "rows": [_row(row, found["chosen"]) for row in found["candidates"]],
            "plot": front_plot(measured, found["chosen"]) if measured else Markup("")}  # fmt: skip


def _row(row: Mapping[str, Any], chosen: str | None) -> View:
    view: View = {"name": row["name"], "how": row["how"], "why": row["why"], "chosen": row["name"] == chosen}
    view["verdict"] = "chosen" if view["chosen"] else row["verdict"]
    if "ratios" not in row:
        return view | dict.fromkeys(("latency", "p99", "throughput", "size", "memory", "lost"), DASH)
    ratios, drop = row["ratios"], lost(row)
    return view | {
        "latency": f"{fixed(ratios['latency'], 2)}× ({fixed(row['latency_ms'], 3)} ms)",
        "p99": f"{fixed(row['p99_ms'], 3)} ms",
        "throughput": f"{fixed(ratios['throughput'], 2)}× ({row['rows_per_second']:,.0f} rows/s)",
        "size": f"{fixed(ratios['size'], 2)}× ({row['bytes'] / 1e6:,.2f} MB)",
        "memory": f"{fixed(ratios['memory'], 2)}×",
        "lost": f"{fixed(drop['value'], 2)} [{fixed(drop['low'], 2)}, {fixed(drop['high'], 2)}]",
    }


def front_plot(rows: Sequence[Mapping[str, Any]], chosen: str | None) -> Markup:
    """Points lost over the time of one row, with intervals; a line joins those that no other beats in both."""
    plot = Plot("Points lost over the time of one row, as a share of the original's", WIDE, HEIGHT, right=24)
    x = plot.x(0, max(1.05, max(row["ratios"]["latency"] for row in rows) * 1.05))
    drops = [value for row in rows for value in (lost(row)["low"], lost(row)["high"])]
    y = plot.y(*padded([0.0, *drops], 0.08))
    plot.axes(x, y, "time of one row, original = 1", "points lost")
    plot.line([(x(x.low), y(0)), (x(x.high), y(0))], "reference")
    best = front(rows)
    by_name = {row["name"]: row for row in rows}
    line = [(x(by_name[name]["ratios"]["latency"]), y(lost(by_name[name])["value"])) for name in best]
    plot.line(line, "series series0")
    for row in rows:
        drop, at = lost(row), x(row["ratios"]["latency"])
        plot.line([(at, y(drop["low"])), (at, y(drop["high"]))], "interval")
        title = f"{row['name']}: {row['ratios']['latency']:.2f}x, {drop['value']:.2f} points lost"
        plot.dot(at, y(drop["value"]), 6 if row["name"] == chosen else 4, "point", title)
        if row["name"] == chosen or row["name"] in best[:NAMED]:
            plot.text(at + 7, y(drop["value"]) - 6, row["name"], "note", "start")
    plot.dot(x(1), y(0), 4, "point", "the original")
    plot.text(x(1) - 6, y(0) + 14, "original", "tick", "end")
    return plot.render()
