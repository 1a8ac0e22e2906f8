"""The probability from which a yes-no answer is yes, chosen on the validation rows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ceiba.answers import Answer, BinaryAnswer, SpanAnswer
from ceiba.base.rows import Rows
from ceiba.batches import Batches
from ceiba.metrics import choose_span_threshold, choose_threshold
from ceiba.model import Model


def choose_thresholds(
    answers: Mapping[str, Answer], model: Model, valid: Batches, metrics: Mapping[str, str | float]
) -> dict[str, Answer]:
    """The answers as they fit a trained model: each binary one with the threshold that its metric asks for, or that is
    given as a number, each span with the margin over no answer; tags with the chain that was learnt."""
    answers = {name: model.head(name).settle(answer) for name, answer in answers.items()}
    if not any(isinstance(answer, BinaryAnswer | SpanAnswer) for answer in answers.values()):
        return dict(answers)
    scores, truths = _scores(answers, model, valid)
    chosen = dict(answers)
    for name, answer in answers.items():
        if isinstance(answer, BinaryAnswer):
            metric = metrics[name]
            given = metric if isinstance(metric, float) else _chosen(truths[name], scores[name], metric)
            chosen[name] = replace(answer, threshold=given)
        elif isinstance(answer, SpanAnswer):
            margin, found = metrics[name], scores[name]
            best = (
                margin if isinstance(margin, float) else choose_span_threshold(truths[name], found[:, :2], found[:, 2])
            )
            chosen[name] = replace(answer, threshold=best)
    return chosen


def _chosen(truth: NDArray[Any], scores: NDArray[Any], metric: str) -> float:
    """The best threshold; for accuracy, one half unless another is better by more than chance would make it.

    Of the rows whose answer changes, as many get better as worse by chance, give or take the root of their number
    (McNemar 1947, equation 1).
    """
    best = choose_threshold(truth, scores, metric)  # type: ignore[arg-type]
    if metric != "accuracy":
        return best
    known = truth >= 0
    right = [(scores[known] >= cut) == (truth[known] == 1) for cut in (best, 0.5)]
    gained, lost = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return best if gained - lost > 2 * np.sqrt(gained + lost) else 0.5


@torch.inference_mode()
def _scores(
    answers: Mapping[str, Answer], model: Model, valid: Batches
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    scores, truths = ({name: Rows(valid.arrays.num_rows) for name in answers} for _ in range(2))
    device = next(model.parameters()).device
    for _, batch in valid.in_order():
        for name, logits in model.answers(batch.to(device).inputs).items():
            scores[name].add(answers[name].scores(logits.float().cpu().numpy()))
            truths[name].add(batch.targets[name].numpy())
    return {name: rows.all() for name, rows in scores.items()}, {name: rows.all() for name, rows in truths.items()}
