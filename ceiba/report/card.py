"""Report → a model card in Markdown. Source: Mitchell et al. 2019, "Model cards for model reporting", section 4."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ceiba import __version__
from ceiba.metrics import METRICS
from ceiba.report.run_sections import cautions
from ceiba.report.sections import KINDS, figure_rows
from ceiba.report.verdict import Report, main_split, rows_text, verdicts
from ceiba.report.wording import bytes_text, count_text, cut, percent_text, seconds_text

MARKED = re.compile(r"([\\`*_{}\[\]<>#|~])")
MOST_COLUMNS = 40
MOST_LABELS = 12
ENTITIES = {"<": "&lt;", ">": "&gt;", "|": "&#124;"}


def plain(value: object) -> str:
    """A value of the data as Markdown that says just that: marks are escaped, lines joined."""
    flat = " ".join(str(value).split())
    return MARKED.sub(lambda found: ENTITIES.get(found[1], "\\" + found[1]), flat)


def code(value: object) -> str:
    """A name as inline code, whatever backticks it holds."""
    text = " ".join(str(value).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if "`" in text else ""
    return f"{fence}{room}{text}{room}{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the cells are Markdown already, but for bars in code."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows),
        "",
    ]


def card(report: Mapping[str, Any]) -> str:
    """The card of a report; parts that the report lacks are left out."""
    split = main_split(report)
    outputs = list(report["metrics"][split]) if split else []
    title = report.get("title") or " and ".join(outputs) or "Model"
    lines = [f"# {plain(title)}", ""]
    lines += [plain(one.sentence) + "\n" for one in verdicts(report)]
    for part in (what, data, figures, limits, cost, usage):
        lines += part(report, split)
    return "\n".join(lines).rstrip() + f"\n\nMade by Ceiba {__version__}.\n"


def what(report: Report, split: str | None) -> list[str]:
    """What the model answers, from what."""
    lines = ["## What it does", ""]
    inputs = [column for column in data_columns(report) if column.get("role") == "input"]
    for name, output in report.get("outputs", {}).items():
        labels = output.get("labels", [])
        shown = ", ".join(code(label) for label in labels[:MOST_LABELS])
        more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
        lines.append(
            f"- Answers {code(name)}: {KINDS.get(output['kind'], output['kind'])}"
            + (f" ({shown}{more})" if labels else "")
        )
        if output["kind"] == "binary" and "threshold" in output:
            lines.append(f"- Says {code(labels[1])} from a probability of {output['threshold']:.3g} on")
    if inputs:
        lines.append(
            f"- From {len(inputs)} columns: " + ", ".join(code(column["name"]) for column in inputs[:MOST_COLUMNS])
        )
    return [*lines, ""]


def data_columns(report: Report) -> list[Mapping[str, Any]]:
    """The profiled columns, none where the report has no profile."""
    return list((report.get("data") or {}).get("columns", []))


def data(report: Report, split: str | None) -> list[str]:
    """Where the rows came from, and what they hold."""
    profile = report.get("data") or {}
    rows = {name: counts["rows"] for name, counts in report.get("rows", {}).items()}
    rows = {**profile.get("rows", {}), **rows}
    if not rows:
        return []
    counts = ", ".join(f"{count_text(count)} {plain(name)}" for name, count in rows.items())
    lines = [
        "## Data",
        "",
        f"Rows: {counts}." + (f" From {plain(profile['origin'])}." if profile.get("origin") else ""),
        "",
    ]
    total = profile.get("rows", {}).get("train", 0)
    cells = [
        [
            code(column["name"]), str(column.get("kind", "")), str(column.get("role", "")),
            percent_text(column["missing"] / total) if total and column.get("missing") else "",
        ]
        for column in data_columns(report)[:MOST_COLUMNS]
    ]  # fmt: skip
    return lines + (table(["Column", "Kind", "Role", "Missing"], cells) if cells else [])


def figures(report: Report, split: str | None) -> list[str]:
    """Every figure of the last rows beside both baselines."""
    if split is None:
        return []
    lines = [f"## Figures on the {plain(rows_text(split))}", ""]
    for output in report["metrics"][split]:
        models = report.get("baseline_models", {}).get(output, {})
        rows = [
            [
                f"{row['title']} {row['arrow']}",
                f"{row['value']} {plain(row['interval'])}",
                row["quick"],
                row["constant"],
            ]
            for row in figure_rows(report, split, output)
        ]
        lines += [f"### {plain(output)}", "", *table(["", "Model, 95 % interval", "Quick", "Constant"], rows)]
        lines += [f"- {name}: {plain(models[name]['model'])}" for name in ("quick", "constant") if name in models]
        lines.append("")
    return lines


def limits(report: Report, split: str | None) -> list[str]:
    """What the figures do not say, and where the model is weakest."""
    warnings, notes = cautions(report)
    lines = ["## Limits", "", "- The figures hold for rows like those measured; other data may differ."]
    for output, slices in (report.get("slices", {}).get(split, {}) if split else {}).items():
        for column, parts in slices.items():
            if worst := weakest(report, output, parts):
                lines.append(f"- Weakest part of {code(column)}: {code(worst[0])}, {worst[1]}")
    return [*lines, *(f"- {plain(cut(text, 400))}" for text in (*warnings, *notes)), ""]


def weakest(report: Report, output: str, parts: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The part of the rows with the worst main figure, and that figure."""
    name = report.get("outputs", {}).get(output, {}).get("main", "")
    measured = [part for part in parts if name in part["metrics"]]
    if name not in METRICS or len(measured) < 2:
        return None
    sign = 1 if METRICS[name].better == "higher" else -1
    worst = min(measured, key=lambda part: sign * part["metrics"][name]["value"])
    value = worst["metrics"][name]["value"]
    return str(worst["value"]), f"{METRICS[name].title} {value:.4g} on {count_text(worst['rows'])} rows"


def cost(report: Report, split: str | None) -> list[str]:
    """What it took."""
    spent = report.get("cost", {})
    facts = []
    if "parameters" in spent:
        facts.append(f"- Parameters: {count_text(spent['parameters'])}")
    if "seconds" in spent:
        facts.append(f"- Time: {seconds_text(spent['seconds'])}")
    if spent.get("peak_memory_bytes"):
        facts.append(f"- Peak memory: {bytes_text(spent['peak_memory_bytes'])}")
    return ["## Cost", "", *facts, ""] if facts else []


def usage(report: Report, split: str | None) -> list[str]:
    """How to ask it."""
    return [
        "## How to use it", "", "```sh", "ceiba predict BUNDLE ROWS.csv --out answers.csv", "ceiba serve BUNDLE", "```",
        "", "```python", "import ceiba", 'answers = ceiba.open("BUNDLE").predict(rows)', "```", "",
    ]  # fmt: skip
