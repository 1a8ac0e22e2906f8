"""`ceiba predict`: rows in, answers out, a batch at a time, so that memory does not grow with rows."""

import time
from pathlib import Path

from ceiba.base.errors import InputError
from ceiba.base.memory import PeakMemory
from ceiba.cli import resolve
from ceiba.cli.words import finish, words


def main(arguments: list[str]) -> int:
    """Answer every row of a file; the columns named by --keep are passed through."""
    parser = words("predict", "Answer the rows of a file: csv, tsv, jsonl or parquet out, told by the suffix of --out.")
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle or the folder of a run")
    parser.add_argument("data", metavar="DATA", help="rows to answer")
    parser.add_argument("--out", required=True, metavar="FILE", help="where the answers go")
    parser.add_argument(
        "--keep", default="", metavar="COLUMNS", help="columns, comma-separated, to pass through (ids always are)"
    )
    parser.add_argument("--files", metavar="DIR|ZIP", help="folder or archive with the files that cells name")
    parser.add_argument("--trust", metavar="FILE", help="the bundle must be signed with a key of this file")
    parser.add_argument("--unlock", metavar="KEY", help="key of an encrypted bundle: FILE, env:NAME or command:WORDS")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that answer (1)")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        raise InputError("--workers must be 1 or more", given.workers, "Leave it out for one")
    began = time.monotonic()
    bundle = (given.bundle, given.files, given.trust, given.unlock)
    keep = [name for name in given.keep.split(",") if name]
    with PeakMemory() as memory:
        answerers = resolve("ceiba.base.side_process:Helpers")(given.workers) if given.workers > 1 else None
        open_model, predict_file = resolve("ceiba.cli.opening:open_model"), resolve("ceiba.predict:predict_file")
        predictor, by = open_model(*bundle), None
        if answerers is not None:
            by = resolve("ceiba.predict.parallel:answering")(answerers, open_model, bundle)
        rows = predict_file(predictor, given.data, Path(given.out), keep, by)
    seconds = time.monotonic() - began
    print(f"{rows:,} rows answered in {seconds:.1f} s: {given.out}")
    return finish(given.json, {"out": given.out, "rows": rows, "seconds": seconds, "peak_memory_bytes": memory.bytes})
