"""How much of the raw runtime's throughput is left when a bundle is asked over HTTP, a row a request, batched there.

Run: python bench/serving/batches.py BUNDLE ROWS.jsonl [--connections 256] [--seconds 5] [--rounds 3]
The server and the raw runtime have one core, the same one, in turns; wrk has another. The raw runtime is given arrays
that are encoded already, in batches of the size that the server's had.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from ceiba.bundle import open_bundle
from ceiba.fields import Ragged
from ceiba.predict import OnnxBackend, Predictor
from ceiba.serve.intake import Intake

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = 0, 1


def counted(address: str) -> tuple[float, float]:
    """Batches and rows that the server has computed."""
    text = urllib.request.urlopen(f"{address}/metrics").read().decode()
    found = {
        name: re.search(rf"^ceiba_batch_rows_{name}\{{.*\}} (\S+)", text, re.MULTILINE) for name in ("count", "sum")
    }
    return tuple(float(one[1]) if one else 0.0 for one in found.values())  # type: ignore[return-value]


def served(address: str, rows: Path, connections: int, seconds: int) -> dict[str, float]:
    """One run of wrk; also the mean rows of a batch meanwhile."""
    before = counted(address)
    words = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s",
             "-s", str(HERE / "adult.lua"), "--latency", address]  # fmt: skip
    run = subprocess.run(words, env=os.environ | {"RECORDS": str(rows)}, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    assert not found["errors"], run.stdout
    after = counted(address)
    return found | {"batch_rows": (after[1] - before[1]) / (after[0] - before[0])}


def raw(model: OnnxBackend, encoded: dict[str, Any], count: int, batch_rows: int, seconds: float) -> float:
    """Rows a second of the runtime alone."""
    batches = []
    for start in range(0, count - batch_rows + 1, batch_rows):
        rows = range(start, start + batch_rows)
        batches.append({name: one.take(rows).pad() if isinstance(one, Ragged) else one[rows.start : rows.stop]
                        for name, one in encoded.items()})  # fmt: skip
    for one in batches[:3]:
        model(one)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        model(batches[done % len(batches)])
        done += 1
    return done * batch_rows / (time.perf_counter() - began)


def main() -> None:
    """A line a round, then the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    os.sched_setaffinity(0, {SERVER_CORE})
    bundle = open_bundle(Path(given.bundle))
    assert bundle.onnx is not None
    model = OnnxBackend(bundle.onnx, 1)
    predictor = Predictor.from_bundle(bundle, model)
    intake = Intake(predictor)
    rows = [json.loads(line) for line in given.rows.read_text().splitlines()]
    encoded = dict(predictor.encode(intake.batch([intake.rows(rows)])))
    words = [
        "taskset",
        "-c",
        str(SERVER_CORE),
        sys.executable,
        "-m",
        "ceiba",
        "serve",
        given.bundle,
        "--open",
        "--port",
        "0",
    ]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    address = process.stderr.readline().split(" at ")[1].strip()
    served(address, given.rows, given.connections, 1)
    turns = []
    for _ in range(given.rounds):
        found = served(address, given.rows, given.connections, given.seconds)
        found["raw_rows_per_s"] = raw(model, encoded, len(rows), round(found["batch_rows"]), given.seconds)
        turns.append(found)
        print(json.dumps({name: round(value, 1) for name, value in found.items()}), flush=True)
    process.terminate()
    process.wait(30)
    own, alone = (statistics.median(one[name] for one in turns) for name in ("requests_per_s", "raw_rows_per_s"))
    print(json.dumps({"served": round(own), "raw": round(alone), "share": round(own / alone, 3)}))


if __name__ == "__main__":
    main()
