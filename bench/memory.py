"""Peak memory of whole training runs on 1×, 8× and 64× the rows of Adult: it must not grow with rows.

python -m bench.memory
"""

import csv
import gzip
import os
import sys
import tempfile
from pathlib import Path

from bench.work import DATA, print_table, train

TIMES = (1, 8, 64)
ALLOWED_GROWTH = 1.10
WEIGHT_COLUMN = 2


def repeated(times: int, path: Path) -> None:
    """Adult's training rows so many times over, each copy with other sampling weights, so that no row repeats."""
    with gzip.open(DATA / "adult_census" / "adult-train.csv.gz", "rt", encoding="utf-8") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for copy in range(times):
            for row in rows:
                changed = str(int(row[WEIGHT_COLUMN]) + 7 * copy)
                writer.writerow([*row[:WEIGHT_COLUMN], changed, *row[WEIGHT_COLUMN + 1 :]])


def main() -> None:
    """Train one epoch on each size, with an empty cache, and print the peaks."""
    rows, first = [], None
    with tempfile.TemporaryDirectory() as name:
        for times in TIMES:
            path = Path(name) / f"adult-{times}.csv"
            repeated(times, path)
            os.environ["CEIBA_CACHE"] = str(Path(name) / f"cache-{times}")
            figures = train("adult", f"data.train={path}", "train.epochs=1", "evaluate.baselines=false")
            peak = figures["peak_memory_bytes"]
            first = first or peak
            print(times, peak, file=sys.stderr, flush=True)
            reached = "yes" if peak <= ALLOWED_GROWTH * first else "NO"
            rows.append([f"{times}×", f"{32_561 * times:,}", f"{peak / 1e6:.0f}", f"{peak / first:.3f}", reached])
    print_table(["rows", "count", "peak MB (anonymous + shared)", "against 1×", "flat within 10 %"], rows)


if __name__ == "__main__":
    main()
