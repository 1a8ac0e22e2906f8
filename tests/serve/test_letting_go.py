"""A version that no route reaches any more."""

import asyncio
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ceiba.serve import worker


def test_its_memory_goes_back_when_its_last_rows_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    served: Any = type("Version", (), {})()
    served.itself, is_there = served, weakref.ref(served)  # a cycle, as a version may be part of one
    queue = SimpleNamespace(waiting_rows=1, running=False, close=lambda: done.append("closed"))
    monkeypatch.setattr(worker, "give_back", lambda: done.append("held" if is_there() else "given back"))

    async def let_go() -> None:
        nonlocal served
        with ThreadPoolExecutor(1) as loader:
            own = cast(worker.Worker, SimpleNamespace(loader=loader))
            served.queue = queue
            going = asyncio.ensure_future(worker.Worker._let_go(own, cast(Any, served)))
            del served
            await asyncio.sleep(0.1)
            assert done == []
            queue.waiting_rows = 0
            await going

    asyncio.run(let_go())
    assert done == ["closed", "given back"]
