"""Stopping on request: the first signal asks, the second insists."""

import os
import signal
from types import FrameType, TracebackType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """While entered, SIGTERM and Ctrl-C only set `exit_code`; a second signal ends the process at once."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._before: dict[int, object] = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.exit_code is not None:
            os._exit(EXIT_CODES[signal.Signals(number)])
        self.exit_code = EXIT_CODES[signal.Signals(number)]

    def __enter__(self) -> "StopRequest":
        try:
            self._before = {number: signal.signal(number, self._ask) for number in EXIT_CODES}
        except ValueError:  # only the main thread may listen to signals: elsewhere the caller keeps its own handling
            self._before = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
