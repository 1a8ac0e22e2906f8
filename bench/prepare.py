"""A CSV of real rows → encoded, mapped arrays, beside polars' scan-and-cast of the same file, A B A B in one run.

python -m bench.prepare [adult|california] [MEGABYTES] [times|peaks]

Time and its parts, and peak memory of that many megabytes and of eight times as many. A file of more than 500 MB is
timed three times, and its peak stands beside that of an eighth of it.
"""

import gzip
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import polars as pl

from bench.work import DATA, median, print_table
from ceiba.base.memory import PeakMemory, lean
from ceiba.fields import CategorySpec, FieldSpec, NumberSpec
from ceiba.prepare import DataSpec, fit_fields, load_splits, prepare_arrays

RUNS, FEW_RUNS, MOST_REPEATED = 7, 3, 500e6
TIMES = 8
ADULT = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,"
    "capital_gain,capital_loss,hours_per_week,native_country,income"
)
SETS = {
    "adult": ("adult_census/adult-train.csv.gz", "income"),
    "california": ("california_housing/housing.csv", "median_house_value"),
}
NUMBERS = {
    "adult": ["age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"],
    "california": [
        "longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population", "households",
        "median_income", "median_house_value",
    ],
}  # fmt: skip


def write_rows(name: str, path: Path, size_bytes: int) -> None:
    """The rows of a data set over and over, until the file has about that size."""
    source = DATA / SETS[name][0]
    raw = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    header, rows = (
        (ADULT.encode() + b"\n", raw) if name == "adult" else (raw[: raw.index(b"\n") + 1], raw[raw.index(b"\n") + 1 :])
    )
    rows = rows.strip().replace(b", ", b",") + b"\n"
    with path.open("wb") as file:
        file.write(header)
        for _ in range(max(1, round(size_bytes / len(rows)))):
            file.write(rows)
        file.flush()
        os.fsync(file.fileno())  # else the first command that is timed also waits for these bytes


def specs(name: str, header: list[str]) -> tuple[dict[str, FieldSpec], dict[str, FieldSpec]]:
    """Kinds as a recipe would write them, without bins, as for an encoder that reads none."""
    every: dict[str, FieldSpec] = {
        column: NumberSpec(bins=None) if column in NUMBERS[name] else CategorySpec() for column in header
    }
    target = SETS[name][1]
    return {column: spec for column, spec in every.items() if column != target}, {target: every[target]}


def ceiba_s(name: str, path: Path) -> dict[str, float]:
    """Seconds of each step, with a cache that is empty."""
    with tempfile.TemporaryDirectory() as cache, lean():  # as `ceiba train` does
        os.environ["CEIBA_CACHE"] = cache
        header = path.open(encoding="utf-8").readline().strip().split(",")
        inputs, outputs = specs(name, header)
        marks = [time.perf_counter()]
        splits = load_splits(DataSpec(train=str(path), missing=("?",)), [SETS[name][1]])
        marks.append(time.perf_counter())
        fields = fit_fields(splits.train, inputs, outputs)
        marks.append(time.perf_counter())
        for part, frame in splits.parts().items():
            prepare_arrays(frame, fields, rows=splits.rows[part])
        marks.append(time.perf_counter())
    steps = [after - before for before, after in pairwise(marks)]
    return {"read and split": steps[0], "fit": steps[1], "encode and write": steps[2], "all": sum(steps)}


def polars_s(name: str, path: Path) -> float:
    """Seconds of a scan with the numbers cast to float32 and the text to categories."""
    began = time.perf_counter()
    scan = pl.scan_csv(path, null_values=["?"])
    numbers = NUMBERS[name]
    scan.with_columns(pl.col(numbers).cast(pl.Float32), pl.exclude(numbers).cast(pl.Categorical)).collect()
    return time.perf_counter() - began


def peak(name: str, path: Path) -> int:
    """Peak anonymous and shared bytes of one preparation in a process of its own, above what its imports take."""
    command = [sys.executable, "-m", "bench.prepare", "--peak", name, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_times(name: str, size_bytes: int, path: Path) -> None:
    """Seconds by step, beside polars."""
    write_rows(name, path, size_bytes)
    ours, theirs = [], []
    for _ in range(FEW_RUNS if size_bytes > MOST_REPEATED else RUNS):
        ours.append(ceiba_s(name, path))
        theirs.append(polars_s(name, path))
    steps = {step: median([run[step] for run in ours]) for step in ours[0]}
    steps["polars scan and cast"] = median(theirs)
    ratio = median([one["all"] / other for one, other in zip(ours, theirs, strict=True)])
    print_table(["step", "seconds"], [(step, f"{value:.3f}") for step, value in steps.items()])
    megabytes = path.stat().st_size / 1e6
    print(f"\n{megabytes:.0f} MB of {name}: {ratio:.2f} times polars (median of {len(ours)} pairs)\n", flush=True)


def print_peaks(name: str, size_bytes: int, path: Path) -> None:
    """Peak memory of two sizes, one TIMES the other; a large file is the second of them."""
    rows = []
    for times in (1, TIMES):
        write_rows(name, path, (size_bytes // TIMES if size_bytes > MOST_REPEATED else size_bytes) * times)
        rows.append([f"{path.stat().st_size / 1e6:.0f}", f"{peak(name, path) / 1e6:.0f}"])
    print_table(["MB of rows", "peak MB above imports"], rows)


def main() -> None:
    """Print both tables, or one of them."""
    if sys.argv[1:2] == ["--peak"]:
        with PeakMemory() as memory:
            before = memory.bytes
            ceiba_s(sys.argv[2], Path(sys.argv[3]))
        print(memory.bytes - before)
        return
    name, megabytes, what = (*sys.argv[1:], *("adult", "43", "times peaks")[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        for word, show in (("times", print_times), ("peaks", print_peaks)):
            if word in what.split():
                show(name, int(float(megabytes) * 1e6), Path(folder) / "rows.csv")


if __name__ == "__main__":
    main()
