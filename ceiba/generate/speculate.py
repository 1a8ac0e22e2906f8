"""Speculative decoding: a small model proposes several tokens, the large one reads them in one step and keeps those
that it would have written itself."""

from collections import deque

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ceiba.base.keys import uniform
from ceiba.generate.batch import kept_ids, write
from ceiba.generate.decoder import Decoder
from ceiba.generate.request import Request
from ceiba.generate.sampling import draw, probabilities_of

FIRST_GUESSES, MOST_GUESSES = 4, 12
MORE = 2
"""Guesses added after a round in which all were right; one is taken away after any other."""
ACCEPT, GUESS = "accept", "guess"


class Speculation:
    """Requests written one after another, each with the help of a draft model; used as a Batch is.

    A greedy text is the one that the large model writes alone, or with the adapter that was asked for; a drawn one has
    the same distribution, whatever the draft, which has no adapters.

    Source: Leviathan et al. 2023, arXiv:2211.17192, algorithm 1.
    """

    def __init__(self, decoder: Decoder, draft: Decoder):
        self.decoder, self.draft = decoder, draft
        self.waiting: deque[Request] = deque()
        self.active: list[Request] = []
        self.guesses = FIRST_GUESSES
        self.num_proposed = self.num_accepted = 0
        self._unread: list[int] = []
        """Tokens that the draft has not read yet, the last one written among them."""

    def add(self, request: Request) -> None:
        """Put a request at the end of the queue."""
        if request.options.max_tokens == 0:
            request.close("length")
        else:
            self.waiting.append(request)

    def step(self) -> bool:
        """Write some tokens of the text at hand; whether any text is left."""
        if self.active:
            self._write(self.active[0])
        elif self.waiting:
            self.active = [self.waiting.popleft()]
            if not self.active[0].is_cancelled:
                self._read(self.active[0])
        if self.active and self.active[0].is_cancelled:
            self.active[0].close("cancelled")
        if self.active and self.active[0].finish is not None:
            self._leave()
        return bool(self.active or self.waiting)

    def abandon(self) -> list[Request]:
        """Take out every request, unfinished ones too."""
        gone = [*self.active, *self.waiting]
        self.waiting.clear()
        self._leave()
        return gone

    def _leave(self) -> None:
        self.active = []
        self.decoder.keep([])
        self.draft.keep([])

    def _read(self, request: Request) -> None:
        """Both models read what a request holds; its next token is written."""
        logits = self.decoder.admit([kept_ids(request, self.decoder.context)], [request.options.adapter])
        self._read_draft(request)
        write([request], logits)
        self._unread = [token.id for token in request.tokens[-1:]]

    def _read_draft(self, request: Request) -> None:
        self.draft.keep([])
        self.draft.admit([kept_ids(request, self.draft.context)])

    def _write(self, request: Request) -> None:
        """A round of guesses; the context is kept from overflowing as a Batch does it."""
        (length,) = self.decoder.lengths
        if length >= self.decoder.context:
            if request.options.when_full == "stop":
                request.close("full")
            else:
                self.decoder.keep([])
                self._read(request)
            return
        left = request.options.max_tokens - len(request.tokens)
        count = min(self.guesses, self.decoder.context - length - 1, left - 1)
        if self.draft.lengths[0] + len(self._unread) + count > self.draft.context:
            count = min(count, self.draft.context // 4)
            self.draft.keep([])
            self.draft.admit([request.ids[-max(self.draft.context // 2, 1) : -1] or request.ids[-1:]])
            self._unread = request.ids[-1:]
        guesses, beliefs = self._guess(request, count) if count > 0 else ([], [])
        logits = self.decoder.step([[request.tokens[-1].id, *guesses]])[0]
        accepted = self._judge(request, guesses, beliefs, logits)
        self._settle(request, guesses, accepted)

    @torch.inference_mode()
    def _guess(self, request: Request, count: int) -> tuple[list[int], list[Float[Tensor, "vocab"]]]:
        """The draft's next tokens, and, where they are drawn, what they were drawn from."""
        guesses: list[int] = []
        beliefs: list[Tensor] = []
        unread = self._unread
        for place in range(count):
            logits = self.draft.step([unread])[0, -1]
            if request.options.is_greedy:
                guesses.append(int(logits.argmax()))
            else:
                beliefs.append(probabilities_of(logits, request.options))
                guesses.append(draw(beliefs[-1], self._uniform(request, GUESS, len(request.tokens) + place)))
            unread = guesses[-1:]
        return guesses, beliefs

    @torch.inference_mode()
    def _judge(
        self, request: Request, guesses: list[int], beliefs: list[Tensor], logits: Float[Tensor, "new vocab"]
    ) -> int:
        """Write the guesses that hold and one token more; how many held."""
        for place, guess in enumerate(guesses):
            chosen = self._choose(request, guess, beliefs[place] if beliefs else None, logits[place])
            request.add(chosen[0], logits[place])
            if request.finish is not None or not chosen[1]:
                return place + int(chosen[1])
        request.add(request.choose(logits[len(guesses)]), logits[len(guesses)])
        return len(guesses)

    def _choose(
        self, request: Request, guess: int, belief: Float[Tensor, "vocab"] | None, logits: Float[Tensor, "vocab"]
    ) -> tuple[int, bool]:
        """The next token, and whether it is the guess that was accepted."""
        if belief is None:
            token = request.choose(logits)
            return token, token == guess
        step = len(request.tokens)
        truth = probabilities_of(request.ruled(logits), request.options)
        if self._uniform(request, ACCEPT, step) * float(belief[guess]) < float(truth[guess]):
            return guess, True
        rest = (truth - belief).clamp_min(0)
        return draw(rest if float(rest.sum()) > 0 else truth, request.uniform(step)), False

    def _settle(self, request: Request, guesses: list[int], accepted: int) -> None:
        """Both models forget the guesses that did not hold."""
        self.num_proposed += len(guesses)
        self.num_accepted += accepted
        if request.finish is not None:
            return
        self.decoder.forget(len(guesses) - accepted)
        if guesses:
            self.draft.forget(max(len(guesses) - 1 - accepted, 0))
            is_whole = accepted == len(guesses)
            self._unread = [guesses[-1], request.tokens[-1].id] if is_whole else [request.tokens[-1].id]
            self.guesses = min(self.guesses + MORE, MOST_GUESSES) if is_whole else max(self.guesses - 1, 1)
        else:
            self._unread = [*self._unread, request.tokens[-1].id]

    def _uniform(self, request: Request, purpose: str, step: int) -> float:
        return float(uniform(np.array([step]), 1, request.options.seed, purpose)[0, 0])
