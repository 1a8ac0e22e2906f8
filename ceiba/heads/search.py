"""Beam search over many rows at once: the most probable texts that can be found by keeping a few beginnings."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Step = Callable[[Int[Tensor, "row"]], Float[Tensor, "row vocab"]]
"""The last token of each beginning → logits of the next one."""
Keep = Callable[[Int[Tensor, "row"]], None]
"""Go on with these beginnings alone, in this order."""


def penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^α, by which the logarithm of a text's probability is divided: 0 leaves short texts to win.

    Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
    """
    return float(((5 + length) / 6) ** alpha)


def beam_search(
    step: Step, keep: Keep, rows: int, beams: int, end: int, most: int, alpha: float, device: torch.device
) -> tuple[Int[Tensor, "row token"], Float[Tensor, "row"]]:
    """The best text of each row without the token that ends it, filled with 0, and log p / penalty.

    `step` is called with `beams` beginnings a row, those of one row side by side; at first they are all alike, and only
    the first one counts. A text that has `most` tokens and no end is cut off there. A row is done when none of its
    beginnings can become better than the best text that has ended: its probability can only fall. One beam: greedy.

    Source: Sutskever et al. 2014, arXiv:1409.3215, section 3.2.
    """
    going = torch.arange(rows, device=device)
    """The rows that are not done."""
    texts = torch.zeros(rows, beams, 0, dtype=torch.long, device=device)
    sums = torch.full((rows, beams), -torch.inf, device=device)
    sums[:, 0] = 0.0
    best = torch.full((rows,), -torch.inf, device=device)
    found = torch.zeros(rows, most, dtype=torch.long, device=device)
    last = torch.full((rows * beams,), end, dtype=torch.long, device=device)
    for length in range(1, most + 1):
        logits = step(last).float()
        vocab = logits.shape[1]
        scores = logits.log_softmax(1).view(len(going), beams, vocab) + sums.unsqueeze(2)
        # Twice as many: even if each beginning could end here, enough would go on.
        values, places = scores.flatten(1).topk(min(2 * beams, beams * vocab))
        beam, token = places // vocab, places % vocab
        has_ended = token == end
        # A text counts as ended only where its end is among the best: with one beam, the most probable token.
        counts = (has_ended | (length == most))[:, :beams]
        candidates = torch.where(counts, values[:, :beams] / penalty(length, alpha), -torch.inf)
        score, which = candidates.max(1)
        chosen = torch.cat([_of(texts, beam, which), token.gather(1, which.unsqueeze(1))], 1)
        is_better = score > best[going]
        better = going[is_better]
        best[better], found[better] = score[is_better], 0
        found[better, :length] = chosen[is_better].masked_fill(chosen[is_better] == end, 0)
        sums, which = values.masked_fill(has_ended, -torch.inf).topk(beams)
        stays = best[going] < sums[:, 0] / penalty(most, alpha)
        if length == most or not bool(stays.any()):
            break
        row = torch.arange(len(going), device=device).unsqueeze(1)
        beam, token = beam.gather(1, which)[stays], token.gather(1, which)[stays]
        texts = torch.cat([texts[row[stays], beam], token.unsqueeze(2)], 2)
        sums, going = sums[stays], going[stays]
        keep((row[stays] * beams + beam).flatten())
        last = token.flatten()
    return found, best


def _of(
    texts: Int[Tensor, "row beam token"], beam: Int[Tensor, "row candidate"], which: Int[Tensor, "row"]
) -> Int[Tensor, "row token"]:
    """The beginning of each row's chosen candidate."""
    row = torch.arange(len(texts), device=texts.device)
    return texts[row, beam[row, which]]
