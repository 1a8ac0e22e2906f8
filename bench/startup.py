"""Start-up: `import ceiba` and `ceiba --help`, as processes of their own, less what Python itself takes.

python -m bench.startup
"""

import subprocess
import sys
import time

from bench.work import median, print_table

RUNS = 15
CASES = [
    ("python alone", [sys.executable, "-c", "pass"], None),
    ("import ceiba", [sys.executable, "-c", "import ceiba"], 0.15),
    ("ceiba --help", [sys.executable, "-m", "ceiba", "--help"], 0.40),
    ("ceiba train --help", [sys.executable, "-m", "ceiba", "train", "--help"], None),
    ("ceiba predict --help", [sys.executable, "-m", "ceiba", "predict", "--help"], None),
]


def seconds(command: list[str]) -> float:
    """Wall seconds of one run."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Interleave all cases and print medians."""
    found: dict[str, list[float]] = {name: [] for name, _, _ in CASES}
    for _ in range(RUNS):
        for name, command, _ in CASES:
            found[name].append(seconds(command))
    rows = []
    for name, _, bar in CASES:
        value = median(found[name])
        rows.append(
            [name, "-" if bar is None else bar, f"{value:.3f}", "-" if bar is None else "yes" if value <= bar else "NO"]
        )
    print_table(["command", "bar, s", "median wall s", "reached"], rows)


if __name__ == "__main__":
    main()
