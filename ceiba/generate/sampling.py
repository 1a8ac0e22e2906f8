"""From the logits of the next token to the token: penalties, cuts and the draw, each a function of one row."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ceiba.generate.options import GenerateOptions

LIKELIEST = 2048
"""Tokens that are looked at first for a nucleus; all of them only where these do not hold its share."""


def penalize(logits: Float[Tensor, "vocab"], seen: Int[Tensor, "token"], penalty: float) -> Float[Tensor, "vocab"]:
    """Logits of tokens that were there before, divided by the penalty where positive, else multiplied.

    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1, with the sign minded as in transformers.
    """
    found = logits[seen]
    return logits.index_put((seen,), torch.where(found > 0, found / penalty, found * penalty))


def keep_top_k(logits: Float[Tensor, "vocab"], k: int) -> Bool[Tensor, "vocab"]:
    """The k likeliest tokens, and those as likely as the last of them."""
    return logits >= logits.topk(min(k, len(logits))).values[-1]


def keep_top_p(probabilities: Float[Tensor, "vocab"], p: float) -> Bool[Tensor, "vocab"]:
    """The fewest likeliest tokens that together have at least the share p, one at least.

    Source: Holtzman et al. 2020, arXiv:1904.09751, equation 2.
    """
    likeliest = probabilities.topk(min(LIKELIEST, len(probabilities)))
    if likeliest.values.sum() < p:
        likeliest = probabilities.topk(len(probabilities))
    before = likeliest.values.cumsum(0).roll(1)
    before[0] = 0
    kept = torch.zeros_like(probabilities, dtype=torch.bool)
    kept[likeliest.indices[before < p]] = True
    return kept


def keep_min_p(probabilities: Float[Tensor, "vocab"], share: float) -> Bool[Tensor, "vocab"]:
    """Tokens at least `share` as likely as the likeliest. Source: Nguyen et al. 2024, arXiv:2407.01082, section 3."""
    return probabilities >= share * probabilities.max()


def probabilities_of(logits: Float[Tensor, "vocab"], options: GenerateOptions) -> Float[Tensor, "vocab"]:
    """What is drawn from: the softmax of the logits over temperature, cut, and scaled to sum to one."""
    scaled = logits.double() / options.temperature
    if options.top_k is not None:
        scaled = scaled.masked_fill(~keep_top_k(scaled, options.top_k), -torch.inf)
    probabilities = scaled.softmax(0)
    if options.top_p < 1:
        probabilities = probabilities * keep_top_p(probabilities, options.top_p)
    if options.min_p > 0:
        probabilities = probabilities * keep_min_p(probabilities, options.min_p)
    return probabilities / probabilities.sum()


def draw(probabilities: Float[Tensor, "vocab"], uniform: float) -> int:
    """The token at which the sum of probabilities passes a number in [0, 1)."""
    total = probabilities.cumsum(0)
    place = int(torch.searchsorted(total, torch.tensor(uniform, dtype=total.dtype) * total[-1], right=True))
    # Rounding may put the last step of the sum beyond the last token that may be drawn.
    return place if place < len(total) and probabilities[place] > 0 else int(probabilities.nonzero()[-1])


def likeliest(logits: Float[Tensor, "vocab"], count: int) -> list[tuple[int, float]]:
    """The likeliest tokens and their log-probabilities, the likeliest first."""
    found = logits.double().log_softmax(0).topk(min(count, len(logits)))
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))
