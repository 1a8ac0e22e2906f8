"""Reading words and printing figures, the same for every verb."""

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ceiba.base.errors import InputError


class Words(argparse.ArgumentParser):
    """argparse whose errors are house errors: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog}: {message}", None, f"See: {self.prog} --help")


def words(verb: str, about: str) -> Words:
    """The parser of a verb; `--json` is common to all."""
    parser = Words(prog=f"ceiba {verb}", description=about)
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    return parser


def settable(parser: Words, example: str) -> None:
    """`--set`, for the verbs that take a recipe."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help=f"override a key of the recipe, e.g. {example}"
    )


def beside(parser: Words) -> None:
    """Adapters beside a language model."""
    parser.add_argument(
        "--adapter", action="append", default=[], metavar="NAME=FOLDER", dest="adapters",
        help="a bundle that was adapted from it by LoRA, or a folder of peft's; chosen by NAME (repeatable)",
    )  # fmt: skip


def named_folders(words: list[str], taken: Collection[str] = ()) -> dict[str, Path]:
    """NAME=FOLDER of each adapter.

    Raises: InputError for another form, or a name that is taken.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, _, folder = word.partition("=")
        if not folder or not name or any(sign in name for sign in "/:?#") or len(name) > 200:
            raise InputError("--adapter must be NAME=FOLDER, without / : ? # in the name", f"'{word}'")
        if name in found or name in taken:
            raise InputError("each adapter must have a name of its own", f"'{name}' twice", "Name it otherwise")
        found[name] = Path(folder)
    return found


def finish(as_json: bool, figures: Mapping[str, Any]) -> int:
    """The last line of a verb, where it was asked for."""
    if as_json:
        sys.stdout.write(json.dumps(figures, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
    return 0


def rendered(figure: Mapping[str, float] | None) -> str:
    """`0.861 [0.856, 0.866]`, or a dash where there is no figure."""
    if figure is None:
        return "-"
    digits = 4 if abs(figure["value"]) < 10 else 1
    shown = f"{figure['value']:,.{digits}f}"
    if "low" in figure and figure["low"] is not None:
        shown += f" [{figure['low']:,.{digits}f}, {figure['high']:,.{digits}f}]"
    return shown


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns lined up, the first to the left, the others to the right."""
    widths = [max(len(str(row[place])) for row in (head, *rows)) for place in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            str(cell).ljust(width) if place == 0 else str(cell).rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def metric_table(report: Mapping[str, Any]) -> str:
    """Every figure of every split and output beside both baselines."""
    rows = []
    for split, outputs in report["metrics"].items():
        for output, metrics in outputs.items():
            baselines = report.get("baselines", {}).get(split, {}).get(output, {})
            for metric, figure in metrics.items():
                others = [rendered(baselines.get(name, {}).get(metric)) for name in ("quick", "constant")]
                rows.append([f"{split} {output} {metric}", rendered(figure), *others])
    return table(["figure", "model", "quick baseline", "constant"], rows)
