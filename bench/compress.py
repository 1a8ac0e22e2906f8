"""What compression gains on this machine: trained runs, each against its own export in 32-bit floats.

`python -m bench.compress runs/adult runs/ag_news_lstm ... [--try int8,half,pruned]`; with `pruned` as long as training.
"""

import argparse
import json
from pathlib import Path

from ceiba.bundle import open_bundle
from ceiba.cli.compress import shares_of
from ceiba.compress import compress, read_goal

GOAL = "throughput >= 1.5x, drop <= 0.5%"


def main() -> None:
    """A line for each candidate, and the best of each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--goal", default=GOAL)
    parser.add_argument("--try", dest="ways", default="int8,half,pruned")
    parser.add_argument("--epochs", type=float, default=0.5)
    parser.add_argument("--keep", type=shares_of, default=())
    given = parser.parse_args()
    for run in given.runs:
        print(f"{run}: {given.goal}", flush=True)
        bundle, goal, ways = open_bundle(run), read_goal(given.goal), given.ways.split(",")
        found = compress(bundle, goal, None, ways, given.epochs, say=told, shares=given.keep)
        table = found.table
        about = f"{table['rows']:,} {table['split']} rows; {json.dumps(table['machine'])}"
        print(f"  chosen: {table['chosen']}; {about}", flush=True)


def told(line: str) -> None:
    """A candidate, as soon as it is measured."""
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
