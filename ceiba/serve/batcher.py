"""The queue before a model: rows of many requests become batches, answers go back to whom they belong.

A batch is begun as soon as the model is idle; while it computes, the next one gathers. A model whose batches take
longer than `INLINE_S` computes in threads beside the event loop, a faster one in the loop itself: to hand work to a
thread and back costs more than such a batch.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ceiba.base.cores import usable_cores
from ceiba.base.errors import DataError
from ceiba.serve.intake import Intake, Rows
from ceiba.serve.refusal import Gone, Refusal
from ceiba.serve.settings import Batching

INLINE_S = 0.008
"""A batch that takes longer is computed in a thread."""
ALONE_INLINE_S = 0.2
"""The same on a single core, where a thread gains nothing: it and the loop push each other out of the core's caches.
The loop must come round soon enough for deadlines and probes."""
QUIET_TURNS = 3
"""Turns of the loop without new rows before a batch is begun; it takes some from a connection to its first row."""
OPEN_TURNS = 32
"""Turns before a slow batch in the loop, full or not: each takes up a new connection, which would else wait a batch."""
SLOTS = 2
"""Batches computed at once: while the runtime works on one, the next is encoded."""
WINDOW = 4
"""Batches' worth of waiting rows among which those of like length are looked for."""
MEMORY = 0.9
"""Weight of the past in the running mean of a batch's time."""

Answers = list[dict[str, Any]]


@dataclass(eq=False)
class Waiting:
    """The rows of one request, and who waits for their answers."""

    rows: Rows
    future: "asyncio.Future[Answers]"
    deadline: float
    is_gone: Callable[[], bool]
    count: int
    """The rows' number."""


class Batcher:
    """One model's queue. All of it runs on the event loop but `_compute`."""

    def __init__(
        self,
        intake: Intake,
        batching: Batching,
        queue_rows: int,
        on_batch: Callable[[int, float], None],
        look: Callable[[pa.RecordBatch], None],
    ):
        """`on_batch` hears the rows and the seconds of each batch, `look` sees its rows before they are encoded."""
        self.intake, self.batching, self.queue_rows = intake, batching, queue_rows
        self.on_batch, self.look = on_batch, look
        self.queue: deque[Waiting] = deque()
        self.waiting_rows = 0
        self.inline_s = INLINE_S if usable_cores() > 1 else ALONE_INLINE_S
        self.batch_s, self.row_s = self.inline_s * 2, 0.0
        self.running = 0
        self.computing: dict[Waiting, list[Waiting]] = {}
        self._room = threading.Semaphore(min(SLOTS, usable_cores()))
        """In the runtime: on one core two batches at once would only push each other out of its caches."""
        self._is_due = False
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, rows: Rows, deadline: float, is_gone: Callable[[], bool]) -> "asyncio.Future[Answers]":
        """The answers of some rows, in their order.

        Raises: Refusal if the queue is full, or so long that the deadline would pass.
        """
        count = len(rows)
        if self.waiting_rows + count > self.queue_rows and self.queue:
            raise Refusal(503, "The queue is full. Try again later.", self._wait_s())
        expected = self.row_s * (self.waiting_rows + count)
        if self.queue and time.monotonic() + expected > deadline:
            raise Refusal(503, "The queue is too long for this request's time. Try again later.", self._wait_s())
        loop = asyncio.get_running_loop()
        waiting = Waiting(rows, loop.create_future(), deadline, is_gone, count)
        self.queue.append(waiting)
        self.waiting_rows += count
        if not self._is_due and self.running < SLOTS:
            self._is_due = True
            if self.batching.wait_ms and self.waiting_rows < self.batching.rows:
                loop.call_later(self.batching.wait_ms / 1000, self._flush)
            else:
                loop.call_soon(self._gather if self.is_inline else self._flush)
        return waiting.future

    @property
    def is_inline(self) -> bool:
        """Whether batches are computed in the loop."""
        return self.batch_s < self.inline_s

    def _wait_s(self) -> int:
        return max(1, round(self.row_s * self.waiting_rows))

    def _gather(self, before: int = 0, quiet: int = 0, turns: int = 0) -> None:
        """Begin when some turns of the loop, each of which reads what clients have sent, have brought no more rows.

        Batches that are computed in threads begin without that: several small ones use more cores than a large one.
        """
        quiet = 0 if self.waiting_rows > before else quiet + 1
        is_open = self.batch_s > INLINE_S and turns < OPEN_TURNS
        if is_open or (quiet < QUIET_TURNS and self.waiting_rows < self.batching.rows):
            asyncio.get_running_loop().call_soon(self._gather, self.waiting_rows, quiet, turns + 1)
        else:
            self._flush()

    def _flush(self) -> None:
        """Begin batches while there are rows and room to compute."""
        self._is_due = False
        while self.queue and self.running < SLOTS:
            batch = self._next()
            if not batch:
                continue
            rows = sum(one.count for one in batch)
            if self.is_inline and rows <= self.batching.rows and not self.running:
                self._deliver(batch, *self._timed(batch))
                if self.queue:
                    self._is_due = True
                    asyncio.get_running_loop().call_soon(self._gather)
                return  # to the loop, which sends the answers
            self.running += 1
            self.computing[batch[0]] = batch
            found = asyncio.get_running_loop().run_in_executor(self._threads(), self._timed, batch)
            found.add_done_callback(partial(self._done, batch))

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(SLOTS, thread_name_prefix="ceiba-batch")
        return self._pool

    def _next(self) -> list[Waiting]:
        """The requests of the next batch: the oldest, and of those behind it the ones that are most like it in length;
        those that nobody waits for any more are dropped."""
        now = time.monotonic()
        most = self.batching.rows
        waiting: list[Waiting] = []
        rows = 0
        while self.queue and rows < (most * WINDOW if self.intake.has_lengths else most):
            one = self.queue.popleft()
            if one.future.done() or one.is_gone():
                _fail(one, Gone())
            elif one.deadline < now:
                _fail(one, Refusal(504, "The request's time passed while it waited."))
            else:
                waiting.append(one)
                rows += one.count if one.rows.kinds == waiting[0].rows.kinds else 0
                continue
            self.waiting_rows -= one.count
        chosen = _alike(waiting, most)
        if len(chosen) < len(waiting):
            left = set(chosen)
            self.queue.extendleft(one for one in reversed(waiting) if one not in left)
        self.waiting_rows -= sum(one.count for one in chosen)
        return chosen

    def measure(self, rows: Rows) -> None:
        """Answer some rows now, and take the time that they took as that of a batch.

        Raises: DataError for rows that the model cannot take.
        """
        began = time.perf_counter()
        self._answers([rows], is_asked=False)
        self.batch_s = time.perf_counter() - began
        self.row_s = self.batch_s / max(len(rows), 1)

    def _timed(self, batch: list[Waiting]) -> tuple[list[Answers | Exception], float]:
        began = time.perf_counter()
        found = self._compute(batch)
        return found, time.perf_counter() - began

    def _compute(self, batch: list[Waiting]) -> list[Answers | Exception]:
        """Each request's answers; where the whole batch fails, each request is tried alone, so that the bad one fails
        alone."""
        try:
            return self._answers([one.rows for one in batch])
        except Exception as error:
            if len(batch) == 1:
                return [_told(error)]
        return [found for one in batch for found in self._compute([one])]

    def _answers(self, parts: Sequence[Rows], is_asked: bool = True) -> list[Answers | Exception]:
        predictor = self.intake.predictor
        if not any(map(len, parts)):
            return [[] for _ in parts]
        batch = self.intake.batch(parts)
        encoded = predictor.encode(batch)
        if is_asked:
            self.look(batch)
        with self._room:
            logits = predictor.run(encoded)
        answers = predictor.answered({}, logits, batch).to_pylist()
        finite = np.ones(len(answers), dtype=np.bool_)
        for values in logits.values():
            finite &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
        found: list[Answers | Exception] = []
        is_whole = finite.all()
        start = 0
        for part in parts:
            stop = start + len(part)
            is_well = is_whole or finite[start:stop].all()
            found.append(answers[start:stop] if is_well else Refusal(500, "The model's answer is not a finite number."))
            start = stop
        return found

    def _done(self, batch: list[Waiting], done: "asyncio.Future[tuple[list[Answers | Exception], float]]") -> None:
        self.running -= 1
        del self.computing[batch[0]]
        self._deliver(batch, *done.result())
        self._flush()

    def _deliver(self, batch: list[Waiting], found: list[Answers | Exception], seconds: float) -> None:
        rows = sum(one.count for one in batch)
        self.batch_s = MEMORY * self.batch_s + (1 - MEMORY) * seconds if self.row_s else seconds
        self.row_s = (
            MEMORY * self.row_s + (1 - MEMORY) * seconds / max(rows, 1) if self.row_s else seconds / max(rows, 1)
        )
        self.on_batch(rows, seconds)
        for one, answers in zip(batch, found, strict=True):
            if isinstance(answers, Exception):
                _fail(one, answers)
            elif not one.future.done():
                one.future.set_result(answers)

    def expire(self, now: float, hang_s: float) -> bool:
        """Tell those whose time passed; whether a batch has been computing for so long that it hangs."""
        for batch in (self.queue, *self.computing.values()):
            for one in batch:
                if one.deadline < now:
                    _fail(one, Refusal(504, "The request's time passed."))
        return any(first.deadline + hang_s < now for first in self.computing)

    def close(self) -> None:
        """Let go of the threads; whoever still waits is told."""
        while self.queue:
            _fail(self.queue.popleft(), Refusal(503, "The model is leaving. Try again.", 1))
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _alike(waiting: list[Waiting], most: int) -> list[Waiting]:
    """The first, and with it as many as fit that may share its batch, the nearest in length before others."""
    if not waiting:
        return []
    first = waiting[0]
    others = [one for one in waiting[1:] if one.rows.kinds == first.rows.kinds]
    if first.rows.size:
        others.sort(key=lambda one: abs(one.rows.size - first.rows.size))
    chosen, rows = [first], first.count
    for one in others:
        if rows + one.count <= most:
            chosen.append(one)
            rows += one.count
    return chosen


def _fail(one: Waiting, error: Exception) -> None:
    if not one.future.done():
        one.future.set_exception(error)


def _told(error: Exception) -> Exception:
    """What a request is told: a fault of its data in words, any other by what catches it above."""
    if isinstance(error, DataError):
        return Refusal(422, str(error))
    if isinstance(error, pa.ArrowException | UnicodeError):
        return Refusal(422, "The rows must hold plain values. Got one that cannot be read. Correct it.")
    return error
