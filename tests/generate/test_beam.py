"""Beam search against looking at every text there is."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ceiba.base.errors import InputError
from ceiba.generate.beam import Beam, search, write_best
from ceiba.generate.decoder import CachedDecoder
from ceiba.generate.options import read_options
from ceiba.generate.request import Request
from ceiba.model import Model

VOCAB, END = 6, 5


def request(**options: Any) -> Request:
    chosen = read_options(options)
    return Request([1, 2], chosen, lambda ids: " ".join(map(str, ids)), END, lambda piece: None)


def every_text(net: Model, longest: int, penalty: float) -> list[Beam]:
    """All texts up to a length, those that ended first among them, the best first."""
    found = []
    for length in range(1, longest + 1):
        for ids in itertools.product(range(VOCAB), repeat=length):
            if END in ids[:-1] or (length < longest and ids[-1] != END):
                continue
            with torch.no_grad():
                logits = net.logits("text", net.tokens({"text.ids": torch.tensor([[1, 2, *ids]])}))[0]
            scores = logits[1:-1].double().log_softmax(1)
            found.append(Beam(ids, float(scores[torch.arange(length), torch.tensor(ids)].sum())))
    return sorted(found, key=lambda beam: -beam.score(penalty))


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_a_wide_search_finds_the_best_text_of_all(penalty: float, model: Callable[..., Model]) -> None:
    for seed in range(2):
        net = model(vocab=VOCAB, seed=seed)
        best = every_text(net, 3, penalty)[0]
        (found, *_) = search(
            CachedDecoder(net, "text", 64, 64), request(beams=64, length_penalty=penalty, max_tokens=3)
        )
        assert found.ids == best.ids
        assert found.logprob == pytest.approx(best.logprob, abs=1e-4)


def test_one_beam_is_greedy_and_more_are_never_less_probable(model: Callable[..., Model]) -> None:
    for seed in range(3):
        net = model(seed=seed)
        greedy = request(max_tokens=8)
        single = search(CachedDecoder(net, "text", 64, 1), greedy)[0]
        wide = search(CachedDecoder(net, "text", 64, 8), request(beams=8, length_penalty=0.0, max_tokens=8))
        assert wide[0].logprob >= single.logprob - 1e-4
        assert [beam.logprob for beam in wide] == sorted((beam.logprob for beam in wide), reverse=True)


def test_the_text_is_written_without_its_end(model: Callable[..., Model]) -> None:
    one = request(beams=4, max_tokens=6)
    net = model(vocab=VOCAB)
    write_best(CachedDecoder(net, "text", 64, 4), one)
    assert END not in [token.id for token in one.tokens]
    assert one.finish in ("stop", "length")


def test_a_search_takes_no_draws() -> None:
    with pytest.raises(InputError, match="beams"):
        read_options({"beams": 2, "temperature": 1.0})
