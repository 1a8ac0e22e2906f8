"""Rows of unequal length, joining and leaving, give what each would give alone, whatever the net's attention."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ceiba.generate.batch import Batch
from ceiba.generate.decoder import CachedDecoder, Decoder, RereadingDecoder, passes
from ceiba.generate.options import read_options
from ceiba.generate.request import Request
from ceiba.model import Model

SHAPES: dict[str, dict[str, Any]] = {
    "learned": {},
    "shared_heads": {"kv_heads": 2},
    "rotary_window": {"positions": "rotary", "window": 7, "kv_heads": 1},
    "norm_last": {"norm_first": False},
}
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11, 12], list(range(1, 21)), [3, 3], [49]]


def request(prompt: Sequence[int], **options: Any) -> Request:
    return Request(prompt, read_options(options), lambda ids: " ".join(map(str, ids)), None, lambda piece: None)


def written(decoder: Decoder, requests: Sequence[Request]) -> list[list[int]]:
    batch = Batch(decoder)
    for one in requests:
        batch.add(one)
    while batch.step():
        pass
    return [[token.id for token in one.tokens] for one in requests]


OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {"max_tokens": 14},
    "drawn": {"max_tokens": 14, "temperature": 1.0},
    "ruled": {"max_tokens": 14, "temperature": 0.9, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.2},
    "slide": {"max_tokens": 40, "temperature": 1.0, "when_full": "slide"},
}


@pytest.mark.parametrize(
    ("shape", "options"),
    [("learned", "greedy"), ("learned", "ruled"), *((shape, name) for shape in SHAPES for name in ("drawn", "slide"))],
)
def test_a_text_is_the_same_alone_in_a_batch_and_without_a_cache(
    shape: str, options: str, model: Callable[..., Model]
) -> None:
    net, given = model(**SHAPES[shape]), OPTIONS[options]
    requests = lambda: [request(prompt, seed=place, **given) for place, prompt in enumerate(PROMPTS)]  # noqa: E731
    together = written(CachedDecoder(net, "text", 24, 4), requests())
    assert together == [written(CachedDecoder(net, "text", 24, 1), [one])[0] for one in requests()]
    assert together == written(RereadingDecoder(net, "text", 24, 3), requests())
    assert [len(text) for text in together] == [_length(given, prompt) for prompt in PROMPTS]
    assert len({tuple(text[-10:]) for text in together}) > 3, "texts must differ for this test to say anything"


def _length(options: dict[str, Any], prompt: Sequence[int]) -> int:
    """Tokens written in a context of 24; without sliding the last one is written and never read."""
    return options["max_tokens"] if "when_full" in options else min(options["max_tokens"], 25 - len(prompt))


def test_requests_that_come_and_go_at_different_times_do_not_change_each_other(model: Callable[..., Model]) -> None:
    net = model()
    lengths = [3, 15, 1, 20, 7, 12, 18, 2]
    make = lambda place: request(  # noqa: E731
        PROMPTS[place % len(PROMPTS)], seed=place, temperature=1.0, max_tokens=lengths[place]
    )
    alone = [written(CachedDecoder(net, "text", 64, 1), [make(place)])[0] for place in range(len(lengths))]
    batch, requests, arriving = Batch(CachedDecoder(net, "text", 64, 3)), [], deque(range(len(lengths)))
    for step in range(80):
        if arriving and step % 3 == 0:
            requests.append(make(arriving.popleft()))
            batch.add(requests[-1])
        batch.step()
    assert [[token.id for token in one.tokens] for one in requests] == alone


def test_a_cache_that_turns_many_times_forgets_nothing(model: Callable[..., Model]) -> None:
    """Short texts come for so long that what is alive moves to the front again and again."""
    net = model()
    decoder = CachedDecoder(net, "text", 16, 2)
    make = lambda place: request([1 + place % 40, 2], seed=place, temperature=1.0, max_tokens=9 + place % 4)  # noqa: E731
    texts = written(decoder, [make(place) for place in range(24)])
    assert decoder.cache.columns < sum(map(len, texts)) / 2
    assert texts == [written(CachedDecoder(net, "text", 16, 1), [make(place)])[0] for place in range(24)]


def test_a_full_context_ends_the_text(model: Callable[..., Model]) -> None:
    one = request(PROMPTS[0], max_tokens=100)
    (ids,) = written(CachedDecoder(model(), "text", 20, 1), [one])
    assert one.finish == "full"
    assert len(PROMPTS[0]) + len(ids) == 21, "the last token is written and never read"


def test_sliding_is_reading_the_newer_half_again(model: Callable[..., Model]) -> None:
    net = model()
    one = request(PROMPTS[0], max_tokens=30, when_full="slide")
    (ids,) = written(CachedDecoder(net, "text", 20, 1), [one])
    whole = PROMPTS[0] + ids
    assert written(CachedDecoder(net, "text", 20, 1), [request(whole[11:21], max_tokens=1)]) == [[whole[21]]]


def test_the_logits_of_several_new_tokens_are_those_of_one_after_another(model: Callable[..., Model]) -> None:
    for shape in SHAPES.values():
        net = model(**shape)
        prompts, new = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11, 12]], [[7, 8, 9], [10, 11, 12]]
        one, many = CachedDecoder(net, "text", 64, 2), CachedDecoder(net, "text", 64, 2)
        one.admit(prompts)
        many.admit(prompts)
        steps = torch.stack([one.step([[row[place]] for row in new])[:, 0] for place in range(3)], 1)
        torch.testing.assert_close(many.step(new), steps, rtol=1e-4, atol=1e-4)
        many.forget(2)
        torch.testing.assert_close(many.step([[8], [11]])[:, 0], steps[:, 1], rtol=1e-4, atol=1e-4)


def test_log_probabilities_are_those_of_the_net_before_temperature(model: Callable[..., Model]) -> None:
    net = model()
    one = request(PROMPTS[2], max_tokens=5, temperature=3.0, logprobs=2)
    written(CachedDecoder(net, "text", 64, 1), [one])
    ids = one.ids
    with torch.no_grad():
        logits = net.logits("text", net.tokens({"text.ids": torch.tensor([ids])}))[0]
    for place, token in enumerate(one.tokens):
        expected = logits[len(PROMPTS[2]) + place - 1].double().log_softmax(0)
        assert token.logprob == pytest.approx(float(expected[token.id]), abs=1e-4)
        assert [id for id, _ in token.alternatives] == expected.topk(2).indices.tolist()


def test_a_cancelled_request_leaves_and_the_others_go_on(model: Callable[..., Model]) -> None:
    net = model()
    batch = Batch(CachedDecoder(net, "text", 64, 2))
    gone, stays, waits = (request(PROMPTS[place], max_tokens=20) for place in range(3))
    for one in (gone, stays, waits):
        batch.add(one)
    batch.step()
    gone.is_cancelled = True
    while batch.step():
        pass
    assert (gone.finish, stays.finish, waits.finish) == ("cancelled", "length", "length")
    assert len(gone.tokens) < 20
    assert [token.id for token in stays.tokens] == written(
        CachedDecoder(net, "text", 64, 1), [request(PROMPTS[1], max_tokens=20)]
    )[0]


def test_prompts_share_a_pass_while_it_has_room() -> None:
    assert passes([[1]]) == [[[1]]]
    long = [0] * 3000
    assert [len(group) for group in passes([[1], [2], long, long, [3]])] == [2, 1, 1, 1]


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="Linux tells")
def test_room_in_the_cache_that_no_text_needs_costs_no_memory(model: Callable[..., Model]) -> None:
    def touched() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    decoder = CachedDecoder(model(), "text", 100_000, 16)
    before = touched()
    decoder.admit([[1, 2, 3]] * 16)  # whose first keys lie far apart
    decoder.step([[4]] * 16)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in decoder.cache.parts)
    assert held > 500e6
    assert touched() - before < held / 20
