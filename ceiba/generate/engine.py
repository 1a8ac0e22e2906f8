"""One thread that writes for many: requests are handed in from anywhere, their pieces come out as they are written."""

import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from ceiba.base.errors import CeibaError, InputError
from ceiba.generate.batch import Batch
from ceiba.generate.request import Request
from ceiba.generate.speculate import Speculation
from ceiba.generate.text import Generated, Piece

Deliver = Callable[[Piece | BaseException], None]


class Stream:
    """The pieces of one text, in order, as they are written; leaving it early cancels the request."""

    def __init__(self, engine: "Engine") -> None:
        self.request: Request
        self._engine = engine  # which must not go before its texts are written
        self._pieces: queue.SimpleQueue[Piece | BaseException] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Piece]:
        """Raises: CeibaError if writing failed or the engine was closed."""
        try:
            while True:
                piece = self._pieces.get()
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                if piece.finish is not None:
                    return
        finally:
            self.cancel()

    def result(self) -> Generated:
        """Wait for the whole text.

        Raises: CeibaError as iterating does.
        """
        for _ in self:
            pass
        return self.request.result()

    def cancel(self) -> None:
        """Give the request up: it leaves the batch before the next token."""
        self.request.is_cancelled = True


class Source(Protocol):
    """What an engine writes with."""

    context: int

    def batch(self) -> Batch | Speculation:
        """An empty batch."""

    def prepare(self, prompt: Any, options: Any, deliver: Deliver) -> Request:
        """A request for it, of what users give."""

    def count(self, prompt: str | list[int]) -> int:
        """The tokens of a prompt."""

    def chat(self, messages: Sequence[Mapping[str, str]], adapter: str | None = None) -> str | list[int]:
        """The prompt of a chat."""


class Engine:
    """A batch behind a thread of its own; its interface has no types of torch. `max_waiting` requests may wait.

    The thread ends when the engine is closed, or when nobody holds it or one of its streams any more.
    """

    def __init__(self, source: Source, max_waiting: int = 1024):
        self._source, self._batch, self.max_waiting = source, source.batch(), max_waiting
        self.context, self.count, self.chat = source.context, source.count, source.chat
        self._arrived: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._is_closed = False
        work = (self._batch, self._arrived)
        self._thread = threading.Thread(target=_run, args=work, name="ceiba-generate", daemon=True)
        self._thread.start()
        weakref.finalize(self, self._arrived.put, None)

    def submit(self, prompt: Any, options: Any = None, deliver: Deliver | None = None) -> Stream:
        """Continue a prompt; the stream gives the pieces, or `deliver` is called with each (or with the error that
        ended it) from the engine's thread.

        Raises: InputError for a prompt or options that are wrong; CeibaError if too many wait, or the engine is closed.
        """
        if self._is_closed:
            raise CeibaError("the engine must be open", "closed", "Open another")
        if self.num_waiting >= self.max_waiting:
            raise CeibaError(f"at most {self.max_waiting} requests may wait", self.num_waiting, "Try again later")
        stream = Stream(self)
        stream.request = self._source.prepare(prompt, options, deliver or stream._pieces.put)
        if stream.request.options.beams > 1:
            raise InputError("an engine does not search over beams", stream.request.options.beams, "Use beams: 1")
        self._arrived.put(stream.request)
        return stream

    def by(self, adapter: str) -> "Adapting":
        """The same engine for those who write by an adapter alone."""
        return Adapting(self, adapter)

    @property
    def num_waiting(self) -> int:
        """Requests that are not yet being written."""
        return self._arrived.qsize() + len(self._batch.waiting)

    @property
    def num_active(self) -> int:
        """Requests that are being written."""
        return len(self._batch.active)

    def close(self) -> None:
        """End the thread; texts that are not finished end with an error."""
        self._is_closed = True
        self._arrived.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Adapting:
    """An engine as those see it whose texts are all written by one adapter."""

    def __init__(self, engine: Engine, adapter: str):
        self.engine, self.adapter = engine, adapter
        self.context, self.count = engine.context, engine.count

    def submit(self, prompt: Any, options: Mapping[str, Any], deliver: Deliver | None = None) -> Stream:
        """As `Engine.submit`."""
        return self.engine.submit(prompt, {**options, "adapter": self.adapter}, deliver)

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str | list[int]:
        """As `Generator.chat`."""
        return self.engine.chat(messages, self.adapter)


def _run(batch: Batch | Speculation, arrived: "queue.SimpleQueue[Request | None]") -> None:
    """What the thread does; it does not know its engine, so that one that nobody holds any more can go."""
    is_busy = False
    while True:
        while not (is_busy and arrived.empty()):
            request = arrived.get()
            if request is None:
                _end(batch, arrived)
                return
            batch.add(request)
            is_busy = True
        try:
            is_busy = batch.step()
        except Exception as error:
            _fail(batch, error)
            is_busy = False


def _fail(batch: Batch | Speculation, error: Exception) -> None:
    """Everybody in the batch is told; it goes on empty."""
    for request in batch.abandon():
        request.deliver(error)


def _end(batch: Batch | Speculation, arrived: "queue.SimpleQueue[Request | None]") -> None:
    """Everybody is told that no more comes, those too who came when the engine was being closed."""
    closed = CeibaError("the engine was closed before the text was finished")
    _fail(batch, closed)
    while not arrived.empty():
        if (request := arrived.get()) is not None:
            request.deliver(closed)
