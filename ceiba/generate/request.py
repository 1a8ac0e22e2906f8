"""One text on its way: what was asked, what was written, and the choice of its next token."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ceiba.base.keys import uniform
from ceiba.generate.options import GenerateOptions
from ceiba.generate.sampling import draw, likeliest, penalize, probabilities_of
from ceiba.generate.text import Finish, Generated, Piece, Token, Writer

DRAWS = 64
"""Random numbers that are made at a time."""
PURPOSE = "generate"


class Constraint(Protocol):
    """What may come next in a text that must keep a form."""

    def allowed(self) -> Bool[Tensor, "vocab"]:
        """The tokens that may come next; one at least."""

    def advance(self, token: int) -> None:
        """A token was chosen."""

    @property
    def is_done(self) -> bool:
        """Whether the text is whole and nothing can follow."""


class Request:
    """A prompt and its continuation so far; `deliver` is given each piece as it comes, or what went wrong."""

    def __init__(
        self,
        prompt: Sequence[int],
        options: GenerateOptions,
        decode: Callable[[Sequence[int]], str],
        end: int | None,
        deliver: Callable[[Piece | BaseException], None],
        constraint: Constraint | None = None,
    ):
        self.prompt, self.options, self.deliver, self.constraint = list(prompt), options, deliver, constraint
        self.end = None if options.ignore_end else end
        self.tokens: list[Token] = []
        self.parts: list[str] = []
        self.finish: Finish | None = None
        self.is_cancelled = False
        self._writer = Writer(decode, options.stop)
        self._waiting: list[Token] = []
        self._seen = set(prompt) if options.repetition_penalty != 1 else set()
        self._uniform: list[float] = []

    @property
    def ids(self) -> list[int]:
        """All its tokens so far, the prompt's first."""
        return [*self.prompt, *(token.id for token in self.tokens)]

    @property
    def is_plain(self) -> bool:
        """Whether its next token is the likeliest one and nothing else."""
        return self.options.is_plain and self.constraint is None

    def uniform(self, step: int) -> float:
        """The number in [0, 1) that belongs to a step: a function of the request's seed and the step alone."""
        while len(self._uniform) <= step:
            steps = np.arange(len(self._uniform), len(self._uniform) + DRAWS)
            self._uniform += uniform(steps, 1, self.options.seed, PURPOSE)[:, 0].tolist()
        return self._uniform[step]

    def ruled(self, logits: Float[Tensor, "vocab"]) -> Float[Tensor, "vocab"]:
        """The logits after penalty and form."""
        if self._seen:
            logits = penalize(logits, torch.tensor(sorted(self._seen)), self.options.repetition_penalty)
        return logits if self.constraint is None else logits.masked_fill(~self.constraint.allowed(), -torch.inf)

    def choose(self, logits: Float[Tensor, "vocab"]) -> int:
        """The next token."""
        ruled = self.ruled(logits)
        if self.options.is_greedy:
            return int(ruled.argmax())
        return draw(probabilities_of(ruled, self.options), self.uniform(len(self.tokens)))

    def add(self, id: int, logits: Float[Tensor, "vocab"] | None = None) -> None:
        """Write a token that was chosen; the text may end with it."""
        if id == self.end:
            self.close("stop")
            return
        token = Token(id)
        if self.options.logprobs is not None:
            assert logits is not None
            chosen = float(logits.double().log_softmax(0)[id])
            token = Token(id, chosen, tuple(likeliest(logits, self.options.logprobs)) if self.options.logprobs else ())
        self.tokens.append(token)
        self._waiting.append(token)
        if self.options.repetition_penalty != 1:
            self._seen.add(id)
        if self.constraint is not None:
            self.constraint.advance(id)
        text = self._writer.add(id)
        if self._writer.is_stopped:
            self._send(text, "stop")
        elif self.constraint is not None and self.constraint.is_done:
            self._send(text + self._writer.end(), "stop")
        elif len(self.tokens) >= self.options.max_tokens:
            self._send(text + self._writer.end(), "stop" if self._writer.is_stopped else "length")
        elif text:
            self._send(text)

    def close(self, finish: Finish) -> None:
        """End the text here."""
        if self.finish is None:
            self._send(self._writer.end(), finish)

    def _send(self, text: str, finish: Finish | None = None) -> None:
        self.parts.append(text)
        self.finish = finish
        piece, self._waiting = Piece(text, tuple(self._waiting), finish), []
        self.deliver(piece)

    def result(self) -> Generated:
        """The finished text."""
        assert self.finish is not None
        return Generated("".join(self.parts), tuple(self.tokens), self.finish, len(self.prompt))
