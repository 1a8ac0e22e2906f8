"""`ceiba compress`: a bundle and a goal → a smaller or faster bundle, if one answers well enough."""

import time
from pathlib import Path

from ceiba.base.errors import CeibaError, InputError
from ceiba.base.progress import say
from ceiba.bundle import open_bundle
from ceiba.cli import resolve
from ceiba.cli.export import beside
from ceiba.cli.opening import bundle_folder
from ceiba.cli.words import finish, table, words


def main(arguments: list[str]) -> int:
    """Try, measure, decide; print every candidate; write the best one's bundle, or the report alone."""
    parser = words("compress", "Make a bundle smaller or faster; taken only if measuring on this machine proves it.")
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle or the folder of a run")
    parser.add_argument("--goal", default="", metavar="GOAL",
                        help='e.g. "latency <= 0.5x, drop <= 0.5%%"; also p99, throughput, size, memory')  # fmt: skip
    parser.add_argument("--try", dest="ways", default="", metavar="WAYS",
                        help="half, int8, pruned, sparse; of a language model half, int8, int4 (all)")  # fmt: skip
    parser.add_argument("--data", metavar="DATA", help="rows with truths to decide on (default: the recipe's test)")
    parser.add_argument("--epochs", type=float, default=0.5, metavar="SHARE",
                        help="share of the recipe's epochs that a pruned network is trained for")  # fmt: skip
    parser.add_argument("--keep", type=shares_of, default=(), metavar="SHARES",
                        help="shares that pruned keeps, e.g. 0.5,0.25 (default: four, from 0.75 down)")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of one call while it is measured")
    parser.add_argument("--out", metavar="DIR", help="where the bundle goes (default: beside it, named compressed)")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    bundle = open_bundle(bundle_folder(given.bundle))
    out = Path(given.out) if given.out else beside(bundle, "compressed")
    if out.exists():
        raise InputError(f"{out} must not exist", "something of that name", "Name another folder with --out")
    goal = resolve("ceiba.compress:read_goal")(given.goal)
    ways = [way for way in given.ways.split(",") if way]
    found = resolve("ceiba.compress:compress")(
        bundle, goal, given.data, ways, given.epochs, given.threads, say, given.keep
    )
    resolve("ceiba.compress:write")(found, out, resolve("ceiba.report:render_html")(found.report))
    print(shown(found.table))
    figures = {**found.table, "bundle": str(out) if found.chosen else None, "seconds": time.monotonic() - began}
    if found.chosen is None:
        finish(given.json, figures)
        do = f"Read {out / 'report.html'}; ask for less, or allow more drop"
        raise CeibaError(f"No candidate reaches the goal: {goal}", None, do)
    print(f"Chosen: {found.chosen.name}\nBundle: {out}\nReport: {out / 'report.html'}")
    return finish(given.json, figures)


def shares_of(text: str) -> tuple[float, ...]:
    """Numbers above 0 and below 1 between commas.

    Raises: InputError for anything else.
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(0 < share < 1 for share in shares):
        raise InputError("--keep must be shares between 0 and 1", f"'{text}'", "Write for example 0.5,0.25")
    return shares


def shown(found: dict) -> str:  # type: ignore[type-arg]
    """Every candidate beside the original."""
    rows = []
    for one in found["candidates"]:
        ratios = one.get("ratios")
        figures = ["-"] * 5
        if ratios:
            drop = max(one["drop"].values(), key=lambda each: each["high"])
            figures = [f"{ratios[name]:.2f}x" for name in ("latency", "throughput", "size", "memory")]
            figures.append(f"{drop['value']:.2f} [{drop['low']:.2f}, {drop['high']:.2f}]")
        rows.append([one["name"], *figures, one["verdict"]])
    return table(["candidate", "latency", "throughput", "size", "memory", "points lost", "verdict"], rows)
