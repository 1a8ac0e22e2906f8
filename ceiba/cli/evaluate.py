"""`ceiba evaluate`: a bundle and data → figures with intervals, and a report of its own."""

from pathlib import Path
from typing import Any

from ceiba.base.errors import InputError
from ceiba.base.files import write_bytes, write_json
from ceiba.cli import resolve
from ceiba.cli.opening import bundle_folder
from ceiba.cli.words import finish, metric_table, words


def main(arguments: list[str]) -> int:
    """Measure a bundle on rows that hold its targets."""
    parser = words("evaluate", "Measure a bundle on data that hold its targets.")
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle or the folder of a run")
    parser.add_argument("data", metavar="DATA", nargs="?", help="rows with their targets; with --since: ORIGIN's own")
    parser.add_argument("--since", metavar="ORIGIN", help="tell what was forgotten since this bundle, row by row")
    parser.add_argument("--slices", default="", metavar="COLUMNS", help="columns, comma-separated, to measure by")
    parser.add_argument("--out", metavar="DIR", help="write report.html and report.json there")
    parser.add_argument("--files", metavar="DIR|ZIP", help="folder or archive with the files that cells name")
    parser.add_argument("--choices", metavar="COLUMN", help="multiple choice by a language model: lists of choices")
    parser.add_argument("--prompt", default="prompt", metavar="COLUMN", help="the questions (default: prompt)")
    parser.add_argument("--answer", default="answer", metavar="COLUMN", help="the right choices (default: answer)")
    given = parser.parse_args(arguments)
    open_model = resolve("ceiba.cli.opening:open_model")
    model = open_model(given.bundle, given.files)
    if given.data is None and (given.since is None or given.choices):
        raise InputError("ceiba evaluate must be given data", None, "Add DATA, or --since ORIGIN")
    if given.choices:
        measure = resolve("ceiba.evaluate:evaluate_choices")
        report = measure(model, given.data, given.prompt, given.choices, given.answer)
    else:
        slices = [name for name in given.slices.split(",") if name]
        origin = None if given.since is None else open_model(given.since, given.files)
        data = held_out(bundle_folder(given.since)) if given.data is None else given.data
        report = resolve("ceiba.evaluate:evaluate_data")(model, data, slices, origin=origin)
    print(metric_table(report))
    for name, one in report.get("since", {}).items():
        print(resolve("ceiba.evaluate.since:told")(name, one))
    if given.out and not given.choices:
        write_json(Path(given.out) / "report.json", report)
        write_bytes(Path(given.out) / "report.html", resolve("ceiba.report:render_html")(report).encode())
        print(f"Report: {Path(given.out) / 'report.html'}")
    return finish(
        given.json,
        {"bundle": str(given.bundle), "metrics": report["metrics"], "baselines": report["baselines"],
         "seconds": report["cost"]["seconds"], "peak_memory_bytes": report["cost"]["peak_memory_bytes"],
         **({"since": report["since"]} if "since" in report else {})},
    )  # fmt: skip


def held_out(folder: Path) -> Any:
    """The rows that a bundle was measured on, from where its recipe says: the test rows, else those it was watched on.

    Raises: InputError and its kinds if they are there no longer.
    """
    recipe = resolve("ceiba.recipe:read_recipe")(folder / "recipe.yaml")
    splits = resolve("ceiba.prepare:load_splits")(recipe.data, recipe.targets)
    return splits.valid if splits.test is None else splits.test
