"""Live validation: the loss and one plain figure an output, over all validation rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ceiba.answers import Answer
from ceiba.batches import Batches
from ceiba.model import Model
from ceiba.train.precision import Precision, compute_in
from ceiba.train.stop import StopRequest

Figures = dict[str, float]
LOWER_IS_BETTER = frozenset({"loss", "rmse"})


def figure(kind: str, truth: NDArray[Any], scores: NDArray[Any]) -> tuple[str, float]:
    """The name and value of an output's main figure: accuracy, RMSE or micro F1."""
    if kind == "number":
        known = ~np.isnan(truth)
        return "rmse", float(np.sqrt(np.mean((truth[known] - scores[known]) ** 2))) if known.any() else 0.0
    if kind == "labels":
        chosen, true = scores >= 0.5, truth > 0.5
        return "f1", float(2 * (chosen & true).sum() / max(chosen.sum() + true.sum(), 1))
    known = truth >= 0
    predicted = scores.argmax(-1) if scores.ndim == 2 else scores >= 0.5
    return "accuracy", float(np.mean(predicted[known] == truth[known])) if known.any() else 0.0


@torch.inference_mode()
def validate(
    model: Model,
    batches: Batches,
    answers: Mapping[str, Answer],
    device: torch.device,
    precision: Precision,
    stop: StopRequest,
) -> Figures | None:
    """Mean loss and `<output>_<figure>` for every output; nothing if a signal asked to stop on the way.

    The model is left in training mode.
    """
    model.eval()
    loss_sum = torch.zeros((), device=device)
    logits: dict[str, list[NDArray[Any]]] = {name: [] for name in answers}
    truths: dict[str, list[NDArray[Any]]] = {name: [] for name in answers}
    for _, batch in batches.in_order():
        if stop.exit_code is not None:
            model.train()
            return None
        moved = batch.to(device)
        with compute_in(precision, device):
            raw = model(moved.inputs)
        raw = {name: value.float() for name, value in raw.items()}
        loss, _ = model.score(raw, moved.targets, moved.weight, known=moved.known)
        loss_sum += loss * batch.num_rows
        for name, combined in model.combine(raw).items():
            logits[name].append(combined.cpu().numpy())
            truths[name].append(batch.targets[name].numpy())
    figures = {"loss": float(loss_sum) / max(batches.arrays.num_rows, 1)}
    for name, answer in answers.items():
        truth = np.concatenate(truths[name])
        scores = answer.scores(np.concatenate(logits[name]))
        label, value = figure(answer.kind, answer.scores(truth) if answer.kind == "number" else truth, scores)
        figures[f"{name}_{label}"] = value
    model.train()
    return figures
