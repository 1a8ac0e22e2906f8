"""`ceiba adapt`: a bundle or a pre-trained folder, and data → a new bundle; or an adapted bundle → a plain one."""

from pathlib import Path
from typing import Any

from ceiba.base.errors import InputError
from ceiba.bundle import open_bundle
from ceiba.cli import resolve
from ceiba.cli.train import summary
from ceiba.cli.words import finish, settable, words


def main(arguments: list[str]) -> int:
    """Adapt and print the figures as `ceiba train` does; the same as a recipe with `from` and `adapt`."""
    parser = words("adapt", "Go on from ORIGIN with new data, or merge what was learnt beside its layers into them.")
    parser.add_argument("origin", metavar="ORIGIN", help="a bundle, a run, a Hugging Face folder, or owner/name@commit")
    parser.add_argument("data", metavar="DATA", nargs="?", help="rows to learn from")
    parser.add_argument(
        "--target", action="append", default=[], metavar="COLUMN", help="column to predict (repeatable)"
    )
    parser.add_argument("--test", metavar="DATA", help="test rows (default: a tenth of the rows)")
    parser.add_argument("--method", metavar="NAME", default="full", help="full, lora or frozen (default: full)")
    parser.add_argument("--merge", action="store_true", help="write ORIGIN, a bundle with LoRA, as a plain bundle")
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/NAME), or of the merged bundle")
    settable(parser, "adapt.rank=16")
    given = parser.parse_args(arguments)
    if given.merge:
        return merge(given.origin, given.out, given.json)
    if given.data is None or not given.target:
        raise InputError("ceiba adapt needs data and a target", None, "Add DATA and --target COLUMN, or --merge")
    run = resolve("ceiba.studies:train")(recipe_of(given), given.out, False, given.set)
    print(summary(run))
    cost = run.report["cost"]
    keys = ("parameters", "trained_parameters", "seconds", "peak_memory_bytes")
    figures = {"bundle": str(run.page.parent), **{key: run.report[key] for key in ("metrics", "baselines")}}
    return finish(given.json, {**figures, **{key: cost[key] for key in keys}})


def recipe_of(given: Any) -> dict[str, Any]:
    """The recipe that the words mean."""
    data = {"train": given.data} | ({"test": given.test} if given.test else {})
    return {
        "name": Path(given.data).name.split(".")[0], "from": given.origin, "adapt": given.method, "data": data,
        "outputs": dict.fromkeys(given.target, "auto"),
    }  # fmt: skip


def merge(origin: str, out: str | None, as_json: bool) -> int:
    """The plain form of an adapted bundle."""
    if out is None:
        raise InputError("ceiba adapt --merge needs a folder to write", "no --out", "Add --out DIR")
    path = resolve("ceiba.adapt:merge")(open_bundle(origin), Path(out))
    print(f"Bundle: {path}")
    return finish(as_json, {"bundle": str(path)})
