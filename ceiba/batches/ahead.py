"""Batches made ahead of their use, in threads: gathering and augmenting leave Python's lock to the step."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Place = TypeVar("Place")
Made = TypeVar("Made")

DEPTH = 2
"""Results that may wait for their turn, for each thread."""


def ahead(make: Callable[[Place], Made], places: Iterable[Place], workers: int) -> Iterator[Made]:
    """`make(place)` for every place, in their order, `workers` threads being up to `DEPTH` results each ahead of it.

    What one of them raises comes at its place. Without workers each is made when it is asked for. Whoever stops early
    waits for no more than what is being made.
    """
    if not workers:
        yield from map(make, places)
        return
    left, waiting = iter(places), deque[Future[Made]]()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ceiba-batches")
    try:
        waiting.extend(pool.submit(make, place) for place in islice(left, DEPTH * workers))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(make, place) for place in islice(left, 1))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
