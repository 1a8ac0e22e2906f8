"""Many callers at once: each must get its own answer, equal to the one that its row has alone.

Run: python bench/serving/answers.py BUNDLE ROWS.jsonl ADDRESS [--requests 100000] [--connections 256]
"""

import argparse
import asyncio
import json
import random
import time
from pathlib import Path
from urllib.parse import urlsplit

from ceiba.cli.opening import open_model

TOLERANCE = 1e-5


async def caller(host: str, port: int, bodies: list[bytes], alone: list[dict[str, object]], work: list[int]) -> int:
    """One connection that asks for rows in turn; how many answers were another's."""
    reader, writer = await asyncio.open_connection(host, port)
    wrong = 0
    while work:
        place = work.pop()
        body = bodies[place]
        writer.write(b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        wrong += not (head.startswith(b"HTTP/1.1 200") and equal(answer, alone[place]))
    writer.close()
    return wrong


def equal(answer: dict[str, object], alone: dict[str, object]) -> bool:
    """Whether two answers agree: labels exactly, numbers within the tolerance."""
    return answer.keys() == alone.keys() and all(
        abs(answer[name] - value) <= TOLERANCE if isinstance(value, float) else answer[name] == value  # type: ignore[operator]
        for name, value in alone.items()
    )


async def main() -> None:
    """Ask, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("rows", type=Path)
    parser.add_argument("address")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=256)
    given = parser.parse_args()
    lines = given.rows.read_text().splitlines()
    predictor = open_model(given.bundle)
    alone = [predictor.predict(json.loads(line)) for line in lines]
    source = random.Random(0)
    work = [source.randrange(len(lines)) for _ in range(given.requests)]
    where = urlsplit(given.address)
    began = time.perf_counter()
    bodies = [line.encode() for line in lines]
    callers = [caller(where.hostname or "", where.port or 80, bodies, alone, work) for _ in range(given.connections)]
    wrong = sum(await asyncio.gather(*callers))
    seconds = time.perf_counter() - began
    print(json.dumps({"requests": given.requests, "distinct": len(set(map(json.dumps, alone))), "wrong": wrong,
                      "seconds": round(seconds, 1)}))  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
