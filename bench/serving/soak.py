"""Whether a server that is left alone for long stays as it was: random bytes, then load with new versions under it.

Run: python bench/serving/soak.py BUNDLE ROWS.jsonl [--bytes-s 600] [--load-s 1800] [--rate 50] [--reload-s 60]
Memory is what the owner and its workers have of their own. A valid request after each second of random bytes must
be answered; under load every answer must be the one that its row had at first, whichever version gave it.
"""

import argparse
import asyncio
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

SAMPLE_S = 5.0
SETTLED = 0.1
"""Share of the time after which memory counts as that of the beginning."""
CONNECTIONS = 8
ANSWER_S = 600.0
"""How long a valid request may take, on a machine that has other work as well."""
STARTS = (b"", b"GET / HTTP/1.1\r\n", b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n",
          b"POST /v2/models/model/infer HTTP/1.1\r\nInference-Header-Content-Length: 9\r\nContent-Length: 40\r\n\r\n",
          b"POST /v1/predict HTTP/1.1\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")  # fmt: skip


class Server:
    """`ceiba serve` of a folder of versions, and what it takes."""

    def __init__(self, folder: Path, workers: int):
        words = [sys.executable, "-m", "ceiba", "serve", f"model={folder}", "--open", "--port", "0", "--workers",
                 str(workers), "--limit", "body_s=2", "--limit", "header_s=2"]  # fmt: skip
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        found = re.search(r"http://([\d.]+):(\d+)", self.process.stderr.readline())
        assert found is not None
        self.host, self.port = found[1], int(found[2])
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self) -> None:
        """Pass on what the server says: one whose log nobody reads waits for ever when the pipe is full."""
        for line in self.process.stderr or ():
            sys.stderr.write(line)

    def processes(self) -> list[int]:
        """The owner and its workers."""
        own = self.process.pid
        return [own, *map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())]

    def memory_mb(self) -> float:
        """Memory of all processes of their own: without libraries, which weigh more when no other process has them."""
        total = 0
        for process in self.processes():
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += sum(map(int, re.findall(r"^Pss_(?:Anon|Shmem): +(\d+)", rollup, re.MULTILINE)))
        return total / 1024

    async def ask(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], body: bytes) -> tuple[int, bytes]:
        """Status and body of one request on an open connection."""
        reader, writer = streams
        writer.write(b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)


async def watched(
    server: Server, name: str, seconds: float, work: Callable[[float], Awaitable[dict[str, int]]]
) -> None:
    """Do some work until a moment, and print what was done beside the memory at the beginning and at the end."""
    began, samples = time.monotonic(), []

    async def sample() -> None:
        while True:
            samples.append((time.monotonic() - began, server.memory_mb()))
            await asyncio.sleep(SAMPLE_S)

    sampling = asyncio.create_task(sample())
    counts = await work(began + seconds)
    sampling.cancel()
    await asyncio.sleep(SAMPLE_S)
    early = [value for at, value in samples if at >= SETTLED * seconds][:3]
    late = [*[value for _, value in samples][-2:], server.memory_mb()]
    print(json.dumps({
        "work": name, "seconds": round(time.monotonic() - began), **counts, "workers": len(server.processes()) - 1,
        "mb_first": round(samples[0][1], 1), "mb_settled": round(sum(early) / len(early), 1),
        "mb_end": round(sum(late) / len(late), 1), "mb_most": round(max(value for _, value in samples), 1),
    }), flush=True)  # fmt: skip


async def random_bytes(server: Server, body: bytes, rate: float, until: float) -> dict[str, int]:
    """Connections that send anything: noise alone, noise behind or within the beginning of a request."""
    source, sent, answered = random.Random(0), 0, 0
    while time.monotonic() < until:
        for _ in range(max(1, round(rate))):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            noise = bytearray(source.choice(STARTS) + source.randbytes(source.choice((1, 30, 300, 30_000))))
            for _ in range(source.randrange(4)):
                noise[source.randrange(len(noise))] = source.randrange(256)
            try:
                writer.write(bytes(noise))
                await asyncio.wait_for(reader.read(1000), 1 / rate)
            except (TimeoutError, ConnectionError):
                pass
            writer.close()
            sent += 1
        streams = await asyncio.open_connection(server.host, server.port)
        status, _ = await asyncio.wait_for(server.ask(streams, body), ANSWER_S)
        assert status == 200, status
        streams[1].close()
        answered += 1
    return {"connections": sent, "answered_between": answered}


async def load(
    server: Server, versions: Path, rows: list[bytes], given: argparse.Namespace, until: float
) -> dict[str, int]:
    """Rows over a few connections that stay open, while new versions take over."""
    source, counts = random.Random(1), {"requests": 0, "failed": 0, "wrong": 0, "versions": 1}
    first: dict[bytes, bytes] = {}

    async def caller() -> None:
        streams = await asyncio.open_connection(server.host, server.port)
        while time.monotonic() < until:
            row = source.choice(rows)
            status, answer = await server.ask(streams, row)
            counts["requests"] += 1
            counts["failed"] += status != 200
            counts["wrong"] += not near(first.setdefault(row, answer), answer)
            await asyncio.sleep(CONNECTIONS / given.rate)
        streams[1].close()

    async def reload() -> None:
        while True:
            await asyncio.sleep(given.reload_s)
            number = counts["versions"] + 1
            shutil.copytree(versions / "1", versions / f".{number}")
            (versions / f".{number}").rename(versions / str(number))
            if number > 2:
                shutil.rmtree(versions / str(number - 1))  # the one before is in use until the new one has taken over
            counts["versions"] = number

    reloading = asyncio.create_task(reload())
    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    reloading.cancel()
    return counts


def near(one: bytes, other: bytes) -> bool:
    """Whether two answers are one, batch by batch apart."""
    first, second = json.loads(one), json.loads(other)
    return all(abs(value - second[name]) < 1e-5 if isinstance(value, float) else value == second[name]
               for name, value in first.items())  # fmt: skip


async def main() -> None:
    """One server for both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--bytes-s", type=float, default=600)
    parser.add_argument("--load-s", type=float, default=1800)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--reload-s", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    rows = [line.encode() for line in given.rows.read_text().splitlines()[:1000]]
    with tempfile.TemporaryDirectory(prefix="ceiba-soak-") as folder:
        shutil.copytree(given.bundle, Path(folder) / "1")
        server = Server(Path(folder), given.workers)
        if given.bytes_s:
            await watched(server, "random bytes", given.bytes_s,
                          lambda until: random_bytes(server, rows[0], given.rate, until))  # fmt: skip
        if given.load_s:
            await watched(server, "load", given.load_s, lambda until: load(server, Path(folder), rows, given, until))
        server.process.terminate()
        print(json.dumps({"exit": server.process.wait(60)}))


if __name__ == "__main__":
    asyncio.run(main())
