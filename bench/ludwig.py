"""Adult, 5 epochs at 256 rows: the whole command, cold, beside Ludwig's on the same work, A B A B in one run.

python -m bench.ludwig PEER/bin/python [RUNS]     PEER: an environment made from bench/peers/ludwig.txt
"""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from bench.work import DATA, median, print_table, train

NAMES = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
]
NUMBERS = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
LUDWIG = """
    import json, sys, time, threading
    import pandas as pd
    from ludwig.api import LudwigModel

    peak, done = [0], threading.Event()
    def sample():
        while not done.wait(0.02):
            lines = open("/proc/self/status").read().splitlines()
            held = [line.split()[1] for line in lines if line.startswith(("RssAnon", "RssShmem"))]
            peak[0] = max(peak[0], 1024 * sum(map(int, held)))
    threading.Thread(target=sample, daemon=True).start()
    work = json.load(open(sys.argv[1]))
    frames = [pd.read_csv(path, names=work["names"], skipinitialspace=True, na_values="?") for path in work["data"]]
    frames[1]["income"] = frames[1]["income"].str.rstrip(".")
    order = frames[0].sample(frac=1, random_state=0)
    cut = len(order) // 10
    model = LudwigModel(work["config"], logging_level=40)
    model.train(training_set=order[cut:], validation_set=order[:cut], test_set=frames[1], output_directory=work["out"],
                skip_save_log=True)
    figures, _, _ = model.evaluate(dataset=frames[1])
    print(json.dumps({"accuracy": float(figures["income"]["accuracy"]), "roc_auc": float(figures["income"]["roc_auc"]),
                      "peak_memory_bytes": peak[0]}))
"""


def ludwig(python: str, folder: Path) -> dict[str, float]:
    """The same command for Ludwig: read, train, evaluate."""
    columns = [{"name": name, "type": "number" if name in NUMBERS else "category"} for name in NAMES[:-1]]
    config = {
        "input_features": columns,
        "output_features": [{"name": "income", "type": "binary"}],
        "trainer": {"epochs": 5, "batch_size": 256},
    }
    paths = [str(DATA / "adult_census" / f"adult-{part}.csv.gz") for part in ("train", "test")]
    work = folder / "work.json"
    work.write_text(json.dumps({"names": NAMES, "data": paths, "config": config, "out": str(folder / "ludwig")}))
    script = folder / "ludwig_run.py"
    script.write_text(textwrap.dedent(LUDWIG))
    began = time.perf_counter()
    done = subprocess.run([python, str(script), str(work)], capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures | {"wall_seconds": time.perf_counter() - began}


def ceiba() -> dict[str, float]:
    """`ceiba train recipes/adult.yaml`, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CEIBA_CACHE"] = cache
        figures = train("adult")
    test = figures["metrics"]["test"]["income"]
    return {
        "accuracy": test["accuracy"]["value"], "roc_auc": test["roc_auc"]["value"],
        "wall_seconds": figures["wall_seconds"], "peak_memory_bytes": figures["peak_memory_bytes"],
    }  # fmt: skip


def main(python: str, runs: int) -> None:
    """Interleave and print medians and the median of the ratios."""
    both: dict[str, list[dict[str, float]]] = {"ceiba": [], "ludwig": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            both["ceiba"].append(ceiba())
            both["ludwig"].append(ludwig(python, Path(folder)))
            print(both["ceiba"][-1], both["ludwig"][-1], file=sys.stderr, flush=True)
    rows = []
    for name, found in both.items():
        cells = [
            median([one[key] for one in found]) for key in ("accuracy", "roc_auc", "wall_seconds", "peak_memory_bytes")
        ]
        rows.append([name, f"{cells[0]:.4f}", f"{cells[1]:.4f}", f"{cells[2]:.1f}", f"{cells[3] / 1e6:.0f}"])
    print_table(["command", "accuracy", "AUC", "wall s", "peak MB (anonymous + shared)"], rows)
    ratios = [a["wall_seconds"] / b["wall_seconds"] for a, b in zip(both["ceiba"], both["ludwig"], strict=True)]
    print(
        f"\nwall time, ceiba / ludwig: median {median(ratios):.3f} of {', '.join(f'{ratio:.3f}' for ratio in ratios)}"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
