"""`ceiba tune`: a recipe → the values of its keys that do best on the validation rows."""

from typing import TYPE_CHECKING, Any

from ceiba.cli import resolve
from ceiba.cli.words import finish, settable, table, words

if TYPE_CHECKING:
    from ceiba.studies import Search


def main(arguments: list[str]) -> int:
    """Search, print a line a trial, and name the recipe of the best one."""
    parser = words("tune", "Search for the values of a recipe's keys that do best on the validation rows.")
    parser.add_argument("recipe", metavar="RECIPE.yaml", help="a recipe; its section tune says what is searched")
    parser.add_argument("--out", metavar="DIR", help="folder of the search (default: runs/NAME-tune)")
    parser.add_argument("--resume", action="store_true", help="go on with the trials in --out")
    parser.add_argument("--storage", metavar="URL", help="database that several workers share (default: in --out)")
    settable(parser, "tune.trials=50")
    given = parser.parse_args(arguments)
    search = resolve("ceiba.studies:tune")(given.recipe, given.out, given.resume, given.set, given.storage)
    print(summary(search))
    return finish(given.json, {**search.report, "folder": str(search.folder), "recipe": str(search.best_recipe)})


def summary(search: "Search") -> str:
    """A table of trials, the best one, and what to do with it."""
    report = search.report
    keys = list(dict.fromkeys(name for trial in report["trials"] for name in trial["values"]))
    rows = [
        [str(trial["trial"]), trial["state"], *(_plain(trial[name]) for name in ("value", "epochs", "seconds")),
         *(_plain(trial["values"].get(name)) for name in keys)]
        for trial in report["trials"]
    ]  # fmt: skip
    best = report["best"]
    return "\n".join([
        "", table(["trial", "state", report["metric"], "epochs", "seconds", *keys], rows), "",
        f"Best:   trial {best['trial']}, {report['metric']} {best['value']:.4f}",
        f"Recipe: {search.best_recipe}", f"Next:   ceiba train {search.best_recipe}",
    ])  # fmt: skip


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
