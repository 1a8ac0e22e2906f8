"""Answers of a stream by several processes: windows go out, answers come back in the order of the rows.

Each process opens the bundle for itself. At most two windows a process are on their way, so that memory does not grow
with rows. What passes between processes is Arrow's own stream format in a private pipe.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from ceiba.base.side_process import Helper, Helpers
from ceiba.predict.predictor import Answering, Predictor

AHEAD = 2
"""Windows for each process that are read before their answers are needed."""
Open = Callable[..., Predictor]

_opened: list[Predictor] = []


def _open(open_model: Open, arguments: tuple[Any, ...]) -> None:
    """In the helping process: open the bundle once."""
    _opened.append(open_model(*arguments))


def _answer(window: bytes, kept: tuple[str, ...], origin: str, start: int) -> bytes:
    """In the helping process: the answers of a window."""
    with pa.ipc.open_stream(window) as reader:
        batch = next(iter(reader))
    return _packed(_opened[0].answer(batch, kept, origin, start))


def _packed(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def answering(helpers: Helpers, open_model: Open, arguments: tuple[Any, ...]) -> Answering:
    """What answers windows in the helping processes, each of which opens the bundle now, all at the same time.

    Raises: what opening it raises.
    """
    free: queue.SimpleQueue[Helper] = queue.SimpleQueue()
    with ThreadPoolExecutor(len(helpers.all)) as pool:
        for opened in [pool.submit(one.call, _open, open_model, arguments) for one in helpers.all]:
            opened.result()
    for one in helpers.all:
        free.put(one)

    def ask(window: bytes, kept: tuple[str, ...], origin: str, start: int) -> bytes:
        helper = free.get()
        try:
            found: bytes = helper.call(_answer, window, kept, origin, start)
            return found
        finally:
            free.put(helper)

    def stream(windows: Iterator[pa.RecordBatch], kept: Sequence[str], origin: str) -> Iterator[pa.RecordBatch]:
        waiting: deque[Future[bytes]] = deque()
        start = 0
        with ThreadPoolExecutor(len(helpers.all)) as pool:
            try:
                for batch in windows:
                    waiting.append(pool.submit(ask, _packed(batch), tuple(kept), origin, start))
                    start += batch.num_rows
                    if len(waiting) >= AHEAD * len(helpers.all):
                        yield _unpacked(waiting.popleft().result())
                while waiting:
                    yield _unpacked(waiting.popleft().result())
            finally:
                for one in waiting:
                    one.cancel()

    return stream


def _unpacked(data: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(data) as reader:
        return next(iter(reader))
