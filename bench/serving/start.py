"""Cold start to the first answer, and resident memory, of a server of one bundle.

Run: python bench/serving/start.py BUNDLE ROWS.jsonl [--rounds 5]
Memory is the proportional set size of owner and worker together: a page that both map counts once.
"""

import argparse
import http.client
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path


def memory_mb(process: int) -> float:
    """Proportional set size of a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    total = 0
    for one in (process, *map(int, children)):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total / 1024


def round_of(bundle: str, rows: list[str]) -> tuple[float, float]:
    """Seconds to the first answer, and memory after a thousand answers."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "ceiba", "serve", bundle, "--open", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = re.search(r"http://([\d.]+):(\d+)", process.stderr.readline())
    assert found is not None
    connection = http.client.HTTPConnection(found[1], int(found[2]))
    seconds = 0.0
    for place in range(1000):
        connection.request("POST", "/v1/predict", rows[place % len(rows)])
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        reply.read()
        seconds = seconds or time.perf_counter() - began
    used = memory_mb(process.pid)
    connection.close()
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    process.stderr.close()
    return seconds, used


def main() -> None:
    """Several rounds; the median and the worst."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = given.rows.read_text().splitlines()
    found = [round_of(given.bundle, rows) for _ in range(given.rounds)]
    seconds, memory = zip(*found, strict=True)
    first = {"median": round(statistics.median(seconds), 3), "worst": round(max(seconds), 3)}
    print(json.dumps({"first_answer_s": first, "memory_mb": round(max(memory), 1)}))


if __name__ == "__main__":
    main()
