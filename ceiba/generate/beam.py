"""Beam search: the most probable texts that can be found by keeping a few beginnings at every step."""

from dataclasses import dataclass

import torch

from ceiba.generate.decoder import Decoder
from ceiba.generate.request import Request


@dataclass(frozen=True)
class Beam:
    """A text and the logarithm of its probability."""

    ids: tuple[int, ...]
    logprob: float

    def score(self, length_penalty: float) -> float:
        """log p / length^α: without it (α = 0) short texts win.

        Source: Wu et al. 2016, arXiv:1609.08144, equation 14, in the plain form that transformers uses.
        """
        return float(self.logprob / max(len(self.ids), 1) ** length_penalty)


@torch.inference_mode()
def search(decoder: Decoder, request: Request) -> list[Beam]:
    """The best texts for a request, the best first; the token that ends a text is the last of those that it ended.

    A text is done when it ends, is as long as was asked, or fills the context; the search is, when as many are done as
    there are beams and none that is not done can score better than the worst of them.

    Source: Sutskever et al. 2014, arXiv:1409.3215, section 3.2.
    """
    options = request.options
    count, penalty = options.beams, options.length_penalty
    logits = decoder.admit([request.prompt], [options.adapter])
    beams, done = [Beam((), 0.0)], list[Beam]()
    for length in range(1, min(options.max_tokens, decoder.context - len(request.prompt) + 1) + 1):
        scores = logits.double().log_softmax(1)
        scores += torch.tensor([beam.logprob for beam in beams], dtype=scores.dtype)[:, None]
        # Twice as many: even if each beam could end here, enough would go on.
        best = scores.flatten().topk(min(2 * count, scores.numel()))
        going: list[tuple[int, Beam]] = []
        for place, score in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            row, id = divmod(place, scores.shape[1])
            beam = Beam((*beams[row].ids, id), score)
            if id == request.end:
                done.append(beam)
            elif len(going) < count:
                going.append((row, beam))
        done = sorted(done, key=lambda beam: -beam.score(penalty))[:count]
        beams = [beam for _, beam in going]
        if _is_over(beams, done, count, penalty, options.max_tokens):
            break
        if length < min(options.max_tokens, decoder.context - len(request.prompt) + 1):
            decoder.keep([row for row, _ in going])
            logits = decoder.step([[beam.ids[-1]] for beam in beams])[:, 0]
    decoder.keep([])
    return sorted([*done, *beams], key=lambda beam: -beam.score(penalty))[:count]


def _is_over(beams: list[Beam], done: list[Beam], count: int, penalty: float, longest: int) -> bool:
    """Whether no beam can become better than the worst text that is done: its probability can only fall."""
    if not beams:
        return True
    if len(done) < count:
        return False
    best = max(beams, key=lambda beam: beam.logprob)
    reachable = best.logprob / (longest if penalty > 0 else len(best.ids)) ** penalty
    return bool(done[-1].score(penalty) >= reachable)


def write_best(decoder: Decoder, request: Request) -> None:
    """Write the best text that is found."""
    best = search(decoder, request)[0]
    for id in best.ids:
        if request.finish is None:
            request.add(id)
    request.close("full")
