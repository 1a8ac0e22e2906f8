"""Continuous batching: requests join a running batch when there is room and leave it when they are done."""

from collections import deque
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ceiba.generate.decoder import Decoder
from ceiba.generate.request import Request


class Batch:
    """Requests that are written together, a token each a step; those beyond the decoder's rows wait in order.

    Source: Yu et al. 2022, "Orca: a distributed serving system for Transformer-based generative models", section 3.1.
    """

    def __init__(self, decoder: Decoder):
        self.decoder = decoder
        self.waiting: deque[Request] = deque()
        self.active: list[Request] = []

    def add(self, request: Request) -> None:
        """Put a request at the end of the queue."""
        if request.options.max_tokens == 0:
            request.close("length")
        else:
            self.waiting.append(request)

    def step(self) -> bool:
        """Write the next token of every text; whether any text is left."""
        self._leave()
        self._slide()
        self._join()
        if self.active:
            last = [[request.tokens[-1].id] for request in self.active]
            write(self.active, self.decoder.step(last)[:, 0])
            self._leave()
        return bool(self.active or self.waiting)

    def abandon(self) -> list[Request]:
        """Take out every request, unfinished ones too."""
        gone = [*self.active, *self.waiting]
        self.active, self.waiting = [], deque()
        self.decoder.keep([])
        return gone

    def _join(self) -> None:
        joining: list[Request] = []
        while self.waiting and len(self.active) + len(joining) < self.decoder.max_rows:
            request = self.waiting.popleft()
            if request.is_cancelled:
                request.close("cancelled")
            else:
                joining.append(request)
        if joining:
            self._admit(joining)

    def _admit(self, requests: Sequence[Request]) -> None:
        """Read what the requests hold and write their next token."""
        prompts = [kept_ids(request, self.decoder.context) for request in requests]
        logits = self.decoder.admit(prompts, [request.options.adapter for request in requests])
        self.active += requests
        write(requests, logits)
        self._leave()

    def _slide(self) -> None:
        """A row whose context is full ends, or forgets its older half and is read again."""
        full = [place for place, length in enumerate(self.decoder.lengths) if length >= self.decoder.context]
        if not full:
            return
        sliding = [self.active[place] for place in full if self.active[place].options.when_full == "slide"]
        for place in full:
            if self.active[place].options.when_full == "stop":
                self.active[place].close("full")
        self._take_out(full)
        if sliding:
            self._admit(sliding)

    def _leave(self) -> None:
        for request in self.active:
            if request.is_cancelled:
                request.close("cancelled")
        self._take_out(place for place, request in enumerate(self.active) if request.finish is not None)

    def _take_out(self, places: Iterable[int]) -> None:
        """Remove rows; the last ones take their places, so that few are copied."""
        gone = set(places)
        if not gone:
            return
        left = [place for place in range(len(self.active)) if place not in gone]
        holes = [place for place in range(len(left)) if place in gone]
        moved = [place for place in left if place >= len(left)]
        order = [place if place not in gone else moved[holes.index(place)] for place in range(len(left))]
        self.decoder.keep(order)
        self.active = [self.active[place] for place in order]


def write(requests: Sequence[Request], logits: Float[Tensor, "batch vocab"]) -> None:
    """Choose and write the next token of each request."""
    if all(request.is_plain for request in requests):  # max finds the place in a third of argmax's time
        for request, id in zip(requests, logits.max(1).indices.tolist(), strict=True):
            request.add(id)
        return
    with torch.inference_mode():
        for request, row in zip(requests, logits.cpu(), strict=True):
            request.add(request.choose(row), row)


def kept_ids(request: Request, context: int) -> list[int]:
    """What a joining request reads: all it holds, or the newer half of the context if it holds more."""
    ids = request.ids
    return ids if len(ids) <= context else ids[-max(context // 2, 1) :]
