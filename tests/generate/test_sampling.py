"""Each rule of sampling against its definition, worked by hand."""

import numpy as np
import pytest
import torch

from ceiba.base.errors import InputError
from ceiba.generate.options import GenerateOptions, read_options
from ceiba.generate.request import Request
from ceiba.generate.sampling import draw, keep_min_p, keep_top_k, keep_top_p, penalize, probabilities_of

SHARES = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64)


def test_top_k_keeps_the_likeliest_and_their_equals() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, 2.0])
    assert keep_top_k(logits, 1).tolist() == [False, True, False, False]
    assert keep_top_k(logits, 2).tolist() == [False, True, True, True]
    assert keep_top_k(logits, 99).all()


@pytest.mark.parametrize(
    ("p", "kept"), [(0.01, [1]), (0.4, [1]), (0.41, [1, 3]), (0.7, [1, 3]), (0.75, [1, 2, 3]), (1.0, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_fewest_that_hold_the_share(p: float, kept: list[int]) -> None:
    assert keep_top_p(SHARES, p).nonzero()[:, 0].tolist() == kept


def test_top_p_of_a_flat_distribution_looks_at_all_tokens() -> None:
    flat = torch.full((10_000,), 1e-4, dtype=torch.float64)
    assert int(keep_top_p(flat, 0.5).sum()) == pytest.approx(5000, abs=1)


def test_min_p_keeps_what_is_likely_beside_the_likeliest() -> None:
    assert keep_min_p(SHARES, 0.5).tolist() == [False, True, True, True]
    assert keep_min_p(SHARES, 0.6).tolist() == [False, True, False, True]


def test_the_penalty_makes_seen_tokens_less_likely_whatever_their_sign() -> None:
    logits = torch.tensor([2.0, -2.0, 1.0])
    assert penalize(logits, torch.tensor([0, 1]), 2.0).tolist() == [1.0, -4.0, 1.0]
    assert logits.tolist() == [2.0, -2.0, 1.0]


def test_the_draw_finds_the_step_of_the_sum() -> None:
    places = [draw(SHARES, uniform) for uniform in (0.0, 0.0999, 0.1001, 0.4999, 0.5001, 0.6999, 0.7001, 0.9999999)]
    assert places == [0, 0, 1, 1, 2, 2, 3, 3]
    with_zeros = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    assert [draw(with_zeros, uniform) for uniform in (0.0, 0.5, 0.9999999)] == [1, 1, 1]


def test_draws_have_the_shares_of_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    options = GenerateOptions(temperature=0.7, seed=5)
    request = Request([1], options, str, None, lambda piece: None)
    probabilities = probabilities_of(logits, options)
    drawn = [draw(probabilities, request.uniform(step)) for step in range(4000)]
    expected = (logits.double() / 0.7).softmax(0).numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, expected, atol=0.025)


def test_a_seed_and_a_step_give_the_number_whatever_was_drawn_before() -> None:
    make = lambda seed: Request([1], GenerateOptions(temperature=1.0, seed=seed), str, None, lambda piece: None)  # noqa: E731
    one, other = make(1), make(1)
    last = one.uniform(200)
    assert [other.uniform(step) for step in range(201)][-1] == last
    assert make(2).uniform(200) != last


def test_wrong_options_are_named() -> None:
    for given, word in (({"top_p": 0}, "top_p"), ({"tempreature": 1}, "temperature"), ({"stop": [""]}, "stop")):
        with pytest.raises(InputError, match=word):
            read_options(given)
    assert read_options({"stop": "x"}).stop == ("x",)
