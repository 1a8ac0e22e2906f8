"""Live validation: the loss and one plain figure an output, over all validation rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ceiba.answers import Answer
from ceiba.base.rows import Rows
from ceiba.batches import Batches
from ceiba.metrics import overlap, tag_counts
from ceiba.model import LEAST_WEIGHT, Model
from ceiba.train.precision import Precision, compute_in
from ceiba.train.stop import StopRequest
from ceiba.train.world import World

Figures = dict[str, float]
NOT_KEPT = ("text", "tags", "sequence")
"""Answers whose logits are too many to be kept, or of many shapes."""
MOST_LOSS = 700.0
"""Nats beyond which e to the loss is no number."""
LOWER_IS_BETTER = frozenset({"loss", "rmse", "perplexity"})


def figure(kind: str, truth: NDArray[Any], scores: NDArray[Any]) -> tuple[str, float]:
    """The name and value of an output's main figure: accuracy, RMSE, micro F1 or F1 of the characters."""
    if kind == "number":
        known = ~np.isnan(truth)
        return "rmse", float(np.sqrt(np.mean((truth[known] - scores[known]) ** 2))) if known.any() else 0.0
    if kind == "preference":  # beside the model that the training began with: what DPO calls the reward's accuracy
        return "reward_accuracy", float((np.sign(scores) + 1).mean() / 2) if len(scores) else 0.0
    if kind == "labels":
        chosen, true = scores >= 0.5, truth > 0.5
        return "f1", float(2 * (chosen & true).sum() / max(chosen.sum() + true.sum(), 1))
    if kind == "span":
        known = (truth >= 0).all(axis=1)
        answered = np.where(scores[:, 2:] > 0, scores[:, :2], 0)
        return "f1", float(overlap(truth[known], answered[known]).mean()) if known.any() else 0.0
    known = truth >= 0
    predicted = scores.argmax(-1) if scores.ndim == 2 else scores >= 0.5
    return "accuracy", float(np.mean(predicted[known] == truth[known])) if known.any() else 0.0


def _entities(answer: Answer, truth: NDArray[Any], logits: NDArray[Any]) -> NDArray[np.float64]:
    """How many entities there are, are answered, and are right."""
    there, found = tag_counts(truth, answer.scores(logits), getattr(answer, "labels", ()))
    return np.array([there[:, 0].sum(), *found[:, :2].sum(0)])


def sum_of(counts: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    """Counts by name, added up over processes."""
    return {name: np.sum([one[name] for one in counts], axis=0) for name in (counts[0] if counts else ())}


@torch.inference_mode()
def validate(
    model: Model,
    batches: Batches,
    answers: Mapping[str, Answer],
    device: torch.device,
    precision: Precision,
    stop: StopRequest,
    world: World,
) -> Figures | None:
    """Mean loss and `<output>_<figure>` for every output; nothing if a signal asked to stop on the way.

    Each of several processes passes its share of the rows; the leading one has the figures over all of them. The model
    is left in training mode.
    """
    model.eval()
    sums = {name: torch.zeros(2, dtype=torch.float64, device=device) for name in answers}
    kept = {name for name, answer in answers.items() if answer.kind not in NOT_KEPT}
    logits, truths = ({name: Rows(batches.arrays.num_rows) for name in kept} for _ in range(2))
    tagged = {name: model.head(name).settle(answer) for name, answer in answers.items() if answer.kind == "tags"}
    entities = {name: np.zeros(3) for name in tagged}
    for own, batch in batches.in_order((world.rank, world.size)):
        if stop.exit_code is not None:
            model.train()
            return None
        moved = batch.to(device)
        with compute_in(precision, device):
            raw = model(moved.inputs)
        raw = {name: value.float() for name, value in raw.items()}
        for name, parts in model.score(raw, moved.targets, moved.weight, known=moved.known)[1].items():
            sums[name] += torch.stack(parts)
        for name, answer in tagged.items() if len(own) else ():
            entities[name] += _entities(answer, batch.targets[name].numpy() - 1, raw[name].cpu().numpy())
        for name, combined in model.combine({name: raw[name] for name in kept}).items():
            logits[name].add(combined[: len(own)].cpu().numpy())
            truths[name].add(batch.targets[name][: len(own)].numpy())
    model.train()
    sums = {name: world.add_up(values) for name, values in sums.items()}
    shares = world.collect({name: (logits[name].all(), truths[name].all()) for name in kept})
    entities = sum_of(world.collect(entities))
    if not world.leads:
        return None
    losses = {name: float(total) / max(float(weight), LEAST_WEIGHT) for name, (total, weight) in sums.items()}
    figures = {"loss": sum(model.spec.weights.get(name, 1.0) * loss for name, loss in losses.items())}
    for name, answer in answers.items():
        if name in tagged:
            there, said, right = entities[name]
            figures[f"{name}_f1"] = float(2 * right / max(there + said, 1))
            continue
        if name not in kept:
            figures[f"{name}_perplexity"] = math.exp(min(losses[name], MOST_LOSS))
            continue
        found, truth = (np.concatenate(parts) for parts in zip(*(one[name] for one in shares), strict=True))
        scores = answer.scores(found)
        label, value = figure(answer.kind, answer.scores(truth) if answer.kind == "number" else truth, scores)
        figures[f"{name}_{label}"] = value
    return figures
