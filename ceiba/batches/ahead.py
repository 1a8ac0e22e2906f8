"""Batches made ahead of their use, in threads: gathering and augmenting leave Python's lock to the step."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from ceiba.base.errors import CeibaError

Place = TypeVar("Place")
Made = TypeVar("Made")

DEPTH = 2
"""Results that may wait for their turn, for each thread."""
LONGEST_S = 600.0
"""Seconds after which a result that is still being made is given up: a disk that hangs would else hang the training."""


def ahead(
    make: Callable[[Place], Made],
    places: Iterable[Place],
    workers: int,
    tell: Callable[[Place], str] = str,
    longest_s: float = LONGEST_S,
) -> Iterator[Made]:
    """`make(place)` for every place, in their order, `workers` threads being up to `DEPTH` results each ahead of it.

    What one of them raises comes at its place. Without workers each is made when it is asked for. Whoever stops early
    waits for no more than what is being made.

    Raises: CeibaError for one that is not made within `longest_s` seconds of being waited for; `tell` names it.
    """
    if not workers:
        yield from map(make, places)
        return
    jobs: SimpleQueue[tuple[Future[Made], Place] | None] = SimpleQueue()
    # threads of our own: those of concurrent.futures are waited for at exit, also one that hangs
    threads = [
        Thread(target=_work, args=(make, jobs), name=f"ceiba-batches-{place}", daemon=True) for place in range(workers)
    ]
    left, waiting, given_up = iter(places), deque[tuple[Future[Made], Place]](), False

    def begin(count: int) -> None:
        for place in islice(left, count):
            waiting.append((Future(), place))
            jobs.put(waiting[-1])

    for thread in threads:
        thread.start()
    try:
        begin(DEPTH * workers)
        while waiting:
            future, place = waiting.popleft()
            try:
                made = future.result(longest_s)
            except TimeoutError as error:
                given_up = not future.done()  # else it is what making raised
                if not given_up:
                    raise
                raise CeibaError(
                    f"A batch must be made within {longest_s:g} s", f"none of {tell(place)}",
                    "See whether the disk of the data answers",
                ) from error  # fmt: skip
            begin(1)
            yield made
    finally:
        for future, _ in waiting:
            future.cancel()
        for _ in threads:
            jobs.put(None)
        for thread in () if given_up else threads:
            thread.join()


def _work(make: Callable[[Place], Made], jobs: "SimpleQueue[tuple[Future[Made], Place] | None]") -> None:
    """One thread: make what is asked for, until nothing is."""
    while (job := jobs.get()) is not None:
        future, place = job
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(make(place))
        except BaseException as error:
            future.set_exception(error)
