"""From tokens to text as it is written: pieces that are never half a character and never part of a stop string."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

BROKEN = "�"
MOST_BROKEN = 8
"""Tokens that may wait for the rest of a character: bytes that never become one are shown as what they are."""

Finish = Literal["stop", "length", "full", "cancelled"]


@dataclass(frozen=True)
class Token:
    """A token as it was chosen."""

    id: int
    logprob: float | None = None
    """Natural logarithm of its probability before temperature and cuts; None where it was not asked for."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens in its place and their log-probabilities."""


@dataclass(frozen=True)
class Piece:
    """What is new in a text: characters, the tokens that brought them (none, one or several), and, in the last piece,
    why the text ends."""

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Finish | None = None


@dataclass(frozen=True)
class Generated:
    """A finished continuation."""

    text: str
    tokens: tuple[Token, ...]
    finish: Finish
    prompt_tokens: int

    @property
    def ids(self) -> list[int]:
        """The ids of its tokens."""
        return [token.id for token in self.tokens]


class Writer:
    """Tokens → pieces of text.

    A token's characters may depend on those before it (a space, the rest of a character), so each piece is the
    difference of two decodings of the last few tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()):
        self.decode, self.stop = decode, tuple(stop)
        self._ids: list[int] = []
        self._start = self._shown = 0
        self._held = ""
        self.is_stopped = False

    def add(self, token: int) -> str:
        """The characters that can now be shown; after a stop string `is_stopped` is true and nothing more comes."""
        if self.is_stopped:
            return ""
        self._ids.append(token)
        self._held += self._new_characters(is_last=False)
        return self._release()

    def end(self) -> str:
        """What was held back when no more tokens come."""
        if not self.is_stopped:
            self._held += self._new_characters(is_last=True)
        released = self._release()
        if not self.is_stopped:
            released, self._held = released + self._held, ""
        return released

    def _new_characters(self, is_last: bool) -> str:
        known = self.decode(self._ids[self._start : self._shown])
        text = self.decode(self._ids[self._start :])
        is_broken = text.endswith(BROKEN) and len(self._ids) - self._shown < MOST_BROKEN
        if len(text) <= len(known) or (is_broken and not is_last):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return text[len(known) :]

    def _release(self) -> str:
        """What is held, up to the first stop string; an end of it that may be the beginning of one stays held."""
        found = [place for place in (self._held.find(stop) for stop in self.stop) if place >= 0]
        if found:
            released, self._held, self.is_stopped = self._held[: min(found)], "", True
            return released
        kept = max((_overlap(self._held, stop) for stop in self.stop), default=0)
        cut = len(self._held) - kept
        released, self._held = self._held[:cut], self._held[cut:]
        return released


def _overlap(text: str, stop: str) -> int:
    """How many last characters of the text are first ones of the stop string."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
