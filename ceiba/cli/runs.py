"""`ceiba runs`: what was trained, a line a run; or runs side by side."""

from pathlib import Path
from typing import Any

from ceiba.cli import resolve
from ceiba.cli.words import finish, rendered, table, words

MOST_CHARACTERS = 40


def main(arguments: list[str]) -> int:
    """List the runs of a folder, or compare the runs named."""
    parser = words("runs", "List the runs of a folder (default: runs), or compare two or more runs.")
    parser.add_argument("folders", metavar="FOLDER", nargs="*", help="a folder of runs, or two or more runs")
    given = parser.parse_args(arguments)
    folders = [Path(name) for name in given.folders or ["runs"]]
    if len(folders) == 1:
        entries = resolve("ceiba.report.runs:list_runs")(folders[0])
        print(listing(entries) if entries else f"No runs in {folders[0]}.")
        return finish(given.json, {"runs": entries})
    compared = resolve("ceiba.report.runs:compare_runs")(folders)
    print(comparison(compared))
    return finish(given.json, compared)


def listing(entries: list[dict[str, Any]]) -> str:
    """A line a run."""
    head = ["run", "state", "when", "data", "measured", "figure", "seconds", "parameters", "best epoch"]
    rows = [
        [one["run"], one["state"], one["when"], one.get("data", "-"), one.get("measured", "-"),
         rendered(one.get("figure")), *(_count(one.get(name)) for name in ("seconds", "parameters", "best_epoch"))]
        for one in entries
    ]  # fmt: skip
    return table(head, rows)


def comparison(compared: dict[str, Any]) -> str:
    """Differing keys, figures, paired differences."""
    runs = compared["runs"]
    parts = []
    if compared["recipe"]:
        rows = [[name, *(_short(value) for value in values)] for name, values in compared["recipe"].items()]
        parts.append(table(["recipe", *runs], rows))
    else:
        parts.append("The recipes are equal.")
    rows = [[name, *(rendered(figure) for figure in figures)] for name, figures in compared["metrics"].items()]
    parts.append(table(["figure", *runs], rows))
    if compared["paired"]:
        rows = [
            [f"{one['run']} - {one['minus']}", f"{one['split']} {one['output']} {one['metric']}", rendered(one),
             one["verdict"]]
            for one in compared["paired"]
        ]  # fmt: skip
        parts.append(table(["paired, row by row", "figure", "difference", "verdict"], rows))
    else:
        parts.append("Not paired: no two runs were measured on the same rows.")
    return "\n\n".join(parts)


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
