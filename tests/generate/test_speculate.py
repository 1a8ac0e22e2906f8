"""A draft changes how fast a text is written, never the text of greedy decoding, nor the distribution of drawn ones."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ceiba.base.errors import InputError
from ceiba.fields import TokenField
from ceiba.generate import Generator
from ceiba.generate.decoder import CachedDecoder
from ceiba.generate.speculate import Speculation
from ceiba.model import Model

PROMPTS = ["to be", "日本"]


@pytest.fixture(scope="module")
def pairs(model: Callable[..., Model], field: TokenField) -> dict[str, Generator]:
    """A large model alone, and with drafts: an unlike one, itself, and one that remembers little."""
    large, small = model(field.vocab), model(field.vocab, layers=1, seed=3)
    short = Generator(small, "text", field)
    short.context = 16
    alone = Generator(large, "text", field, 1)
    return {
        "alone": alone,
        "unlike": Generator(large, "text", field, draft=Generator(small, "text", field)),
        "itself": Generator(large, "text", field, draft=alone),
        "short": Generator(large, "text", field, draft=short),
    }


@pytest.mark.parametrize("draft", ["unlike", "itself", "short"])
@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 40},
        {"max_tokens": 1},
        {"max_tokens": 90},
        {"max_tokens": 80, "when_full": "slide"},
        {"max_tokens": 30, "repetition_penalty": 1.3, "logprobs": 1},
    ],
    ids=["forty", "one", "full", "slide", "penalty"],
)
def test_greedy_text_is_that_of_the_large_model(
    draft: str, options: dict[str, Any], pairs: dict[str, Generator]
) -> None:
    alone, helped = pairs["alone"].generate(PROMPTS, **options), pairs[draft].generate(PROMPTS, **options)
    assert [one.ids for one in helped] == [one.ids for one in alone]
    assert [one.finish for one in helped] == [one.finish for one in alone]
    assert [one.text for one in helped] == [one.text for one in alone]


def test_a_draft_that_agrees_saves_steps(pairs: dict[str, Generator]) -> None:
    batch = pairs["itself"].batch()
    assert isinstance(batch, Speculation)
    assert isinstance(batch.decoder, CachedDecoder)
    batch.add(pairs["itself"].prepare("to be", {"max_tokens": 40}, lambda piece: None))
    steps = 0
    while batch.step():
        steps += 1
    assert batch.num_accepted == batch.num_proposed > 30
    assert steps < 10


def test_drawn_texts_have_the_distribution_of_the_large_model(pairs: dict[str, Generator]) -> None:
    """The third token's frequencies over many seeds, with an unlike draft and without one."""

    def frequencies(generator: Generator, first_seed: int) -> np.ndarray[Any, Any]:
        options = {"max_tokens": 3, "temperature": 0.7, "top_k": 4}
        drawn = [
            generator.generate("to be", seed=seed, **options).ids[2] for seed in range(first_seed, first_seed + 120)
        ]
        return np.bincount(drawn, minlength=generator.field.vocab) / len(drawn)

    alone, other = frequencies(pairs["alone"], 0), frequencies(pairs["alone"], 10_000)
    helped = frequencies(pairs["unlike"], 20_000)
    noise = np.abs(alone - other).sum()
    assert np.abs(helped - alone).sum() < 2 * noise + 0.1
    assert np.abs(helped - frequencies(pairs["short"].draft, 0)).sum() > 0.5, "the draft alone would be found out"


def test_a_draft_must_speak_the_same_tokens(pairs: dict[str, Generator], field: TokenField) -> None:
    other = Generator(pairs["unlike"].model, "text", dataclasses.replace(field, vocab=field.vocab + 1))
    with pytest.raises(InputError, match="same tokens"):
        Generator(pairs["alone"].model, "text", field, draft=other)
