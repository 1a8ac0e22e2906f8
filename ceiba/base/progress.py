"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TextIO

from ceiba.base.ranks import leads

PLAIN_EVERY_S = 10.0
DRAW_EVERY_S = 0.1
WIDTH = 24


def say(text: str) -> None:
    """One line to the person watching (standard error, so that standard output stays for answers)."""
    if leads():
        print(text, file=sys.stderr, flush=True)


class Progress:
    """Counts `total` steps of one named piece of work; `note` is shown beside the count."""

    def __init__(self, name: str, total: int, stream: TextIO | None = None):
        self.name, self.total, self.done, self.note = name, total, 0, ""
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.started = self.drawn = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live and leads():
            self._draw()
            self.stream.write("\n")

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count steps; draws at most a few times a second, so it may be called in a hot loop."""
        self.done += steps
        if note is not None:
            self.note = note
        now = time.monotonic()
        if leads() and now - self.drawn >= (DRAW_EVERY_S if self.live else PLAIN_EVERY_S):
            self.drawn = now
            self._draw()

    def line(self, text: str) -> None:
        """A line of its own, above the bar."""
        if leads():
            self.stream.write(f"\r\033[K{text}\n" if self.live else f"{text}\n")
            self.stream.flush()

    def _draw(self) -> None:
        elapsed_s = time.monotonic() - self.started
        share = self.done / max(self.total, 1)
        left_s = elapsed_s / share - elapsed_s if share > 0 else 0.0
        text = f"{self.name} {self.done}/{self.total} {elapsed_s:.0f}s, {left_s:.0f}s left {self.note}"
        if self.live:
            filled = int(WIDTH * min(share, 1.0))
            self.stream.write(f"\r\033[K{'█' * filled}{'░' * (WIDTH - filled)} {text}")
        else:
            self.stream.write(text + "\n")
        self.stream.flush()
