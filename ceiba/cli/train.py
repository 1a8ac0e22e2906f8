"""`ceiba train`: a recipe, or data and a target → a measured bundle."""

from typing import TYPE_CHECKING, Any

from ceiba.base.errors import InputError
from ceiba.base.optional import require
from ceiba.cli import resolve
from ceiba.cli.words import finish, metric_table, settable, table, words

if TYPE_CHECKING:
    from ceiba.run import Run
    from ceiba.studies import Study


RECIPE_SUFFIXES = (".yaml", ".yml")
MOST_TOLD = 8


def main(arguments: list[str]) -> int:
    """Train, print the figures beside their baselines, the report's path, and three answers with their truths."""
    parser = words("train", "Train what a recipe describes, or DATA and a target alone; measure it; write its bundle.")
    parser.add_argument("source", metavar="RECIPE.yaml|DATA", help="a recipe, or a file or folder of data")
    parser.add_argument(
        "--target", action="append", default=[], metavar="COLUMN", help="column to predict (DATA only; repeatable)"
    )
    parser.add_argument("--test", metavar="DATA", help="test rows (DATA only; default: a tenth of the rows)")
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    settable(parser, "train.epochs=3")
    parser.add_argument("--nproc", type=int, metavar="N", help="train in N processes of this machine (torchrun)")
    parser.add_argument(
        "--dry-run",
        type=int,
        metavar="N",
        help="train nothing: check what N processes would do and hold",
    )
    given = parser.parse_args(arguments)
    if given.dry_run is not None:
        return rehearsed(source_of(given.source, given.target, given.test), given)
    if given.nproc is not None:
        return spread(given.nproc, arguments, given.out)
    run = resolve("ceiba.studies:train")(
        source_of(given.source, given.target, given.test), given.out, given.resume, given.set
    )
    print(summary(run))
    keys = ("metrics", "baselines")
    cost = run.report["cost"]
    return finish(
        given.json,
        {"bundle": str(run.page.parent), **{key: run.report[key] for key in keys}, "seconds": cost["seconds"],
         "peak_memory_bytes": cost["peak_memory_bytes"]},
    )  # fmt: skip


def spread(num_processes: int, arguments: list[str], out: str | None) -> int:
    """The same command in several processes, started and watched by torch's own launcher."""
    if num_processes < 1:
        raise InputError("--nproc must be one or more", num_processes, "Use one a GPU, or a few on a processor")
    if out is None:
        raise InputError("--nproc needs the folder of the run", "no --out", "Add --out DIR")
    place = next(place for place, word in enumerate(arguments) if word.startswith("--nproc"))
    rest = arguments[:place] + arguments[place + (1 if "=" in arguments[place] else 2) :]
    launcher = ["--standalone", f"--nproc-per-node={num_processes}"]
    run = require("torch.distributed.run", "train", "train in several processes")
    failure = require("torch.distributed.elastic.multiprocessing.errors", "train", "train in several processes")
    try:
        run.main([*launcher, "-m", "ceiba", "train", *rest])
    except failure.ChildFailedError as error:
        code = int(error.get_first_failure()[1].exitcode)
        return 128 - code if code < 0 else code
    return 0


def rehearsed(source: str | dict[str, Any], given: Any) -> int:
    """Print what each of several processes would do and hold."""
    found = resolve("ceiba.studies:rehearse")(source, given.dry_run, given.set)
    total = sum(found.memory_bytes.values())
    rows = [
        ["rows of a step", ", ".join(map(str, found.rows[:MOST_TOLD])) + (" ..." if found.ranks > MOST_TOLD else "")]
    ]
    rows += [[f"input {name}", " x ".join(map(str, shape))] for name, shape in found.inputs.items()]
    rows += [[f"output {name}", " x ".join(map(str, shape))] for name, shape in found.outputs.items()]
    rows += [["parameters", f"{found.parameters:,}"]]
    rows += [[f"MB of {name.replace('_', ' ')}", f"{size / 1e6:,.1f}"] for name, size in found.memory_bytes.items()]
    print(table([f"each of {found.ranks}", "at most"], [*rows, ["MB in all", f"{total / 1e6:,.1f}"]]))
    for note in found.notes:
        print(f"Note: {note}")
    return finish(given.json, {
        "ranks": found.ranks, "rows": found.rows, "last_rows": found.last_rows, "inputs": found.inputs,
        "outputs": found.outputs, "parameters": found.parameters, "memory_bytes": found.memory_bytes,
        "notes": found.notes,
    })  # fmt: skip


def source_of(source: str, targets: list[str], test: str | None) -> str | dict[str, Any]:
    """A recipe's path as it is; data and targets as the recipe they mean."""
    if source.endswith(RECIPE_SUFFIXES):
        if targets or test:
            raise InputError(
                "--target and --test go with DATA, not with a recipe",
                source,
                "Write them into the recipe, or use --set",
            )
        return source
    if not targets:
        raise InputError(
            "ceiba train DATA needs a target", source, f"Add --target COLUMN (ceiba init {source} lists the columns)"
        )
    data = {"train": source} | ({"test": test} if test else {})
    return {"data": data, "outputs": dict.fromkeys(targets, "auto")}


def plain(value: object) -> str:
    """An answer as a person writes it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def summary(run: "Run | Study") -> str:
    """What a person wants to see at the end."""
    split = next(name for name in ("test", "folds", "valid") if name in run.report["metrics"])
    lines = ["", metric_table({**run.report, "metrics": {split: run.report["metrics"][split]}}), ""]
    lines += [f"Note: {note}" for note in run.report["notes"]]
    lines += ["", "Three answers:"] if run.report["samples"] else []
    for sample in run.report["samples"][:3]:
        answers = (
            f"{name}: {plain(one['answer'])} (truth: {plain(one['truth'])})" for name, one in sample["outputs"].items()
        )
        lines.append("  " + ", ".join(answers))
    return "\n".join([*lines, "", f"Bundle: {run.page.parent}", f"Report: {run.page}"])
