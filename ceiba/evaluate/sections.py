"""What a report holds for one output of one split, besides its figures."""

from typing import Any

import numpy as np

from ceiba.base.keys import permutation
from ceiba.evaluate.gather import COUNTED, Scored
from ceiba.metrics import calibration, confusion, per_class, pr_curve, roc_curve

MOST_CLASSES = 60
MOST_PAIRS = 20
MOST_POINTS = 400
HISTOGRAM_BINS = 30


def confusion_section(scored: Scored) -> dict[str, Any] | None:
    """Labels and matrix (truth, answer) while it can be read, and the most frequent mistakes; None for other kinds."""
    if scored.kind not in ("binary", "classes"):
        return None
    matrix = confusion(scored.truth, scored.predicted(), len(scored.labels))
    mistakes = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    most = [int(place) for place in np.argsort(-mistakes, axis=None, kind="stable")[:MOST_PAIRS]]
    pairs = [divmod(place, len(matrix)) for place in most if mistakes.flat[place] > 0]
    section: dict[str, Any] = {
        "labels": list(scored.labels),
        "mistakes": [
            {"truth": scored.labels[truth], "answer": scored.labels[answer], "rows": int(mistakes[truth, answer])}
            for truth, answer in pairs
        ],
    }
    return section | ({"matrix": matrix.tolist()} if len(matrix) <= MOST_CLASSES else {})


def classes_section(scored: Scored) -> list[dict[str, Any]] | None:
    """Precision, recall, F1 and rows of each class or label; None for a number."""
    if scored.kind in ("binary", "classes"):
        matrix = confusion(scored.truth, scored.predicted(), len(scored.labels))
        return [dict(row) for row in per_class(matrix, scored.labels)]
    if scored.kind != "labels":
        return None
    table = []
    for place, label in enumerate(scored.labels):
        truth = (scored.truth[:, place] > 0).astype(np.int64)
        table.append(dict(per_class(confusion(truth, scored.predicted()[:, place], 2), ["", label])[1]))
    return table


def calibration_section(scored: Scored) -> dict[str, Any] | None:
    """Reliability bins: of the probability of the second label, or of the class answered; None for a number."""
    if len(scored.truth) == 0 or scored.kind in ("number", *COUNTED):
        return None
    if scored.kind == "binary":
        return {"of": f"probability of {scored.labels[1]}", **calibration(scored.scores, scored.truth)}
    if scored.kind == "labels":
        return {"of": "probability of each label", **calibration(scored.scores.ravel(), scored.truth.ravel() > 0)}
    right = scored.predicted() == scored.truth
    return {"of": "probability of the answer", **calibration(scored.scores.max(axis=1), right)}


def curves_section(scored: Scored, seed: int) -> dict[str, Any] | None:
    """Curves of a yes-no answer; answers beside truths, and errors, of a number; None for other kinds."""
    if scored.kind == "number" and len(scored.truth):
        return _number_curves(scored, seed)
    if scored.kind != "binary":
        return None
    roc, precision_recall = roc_curve(scored.truth, scored.scores), pr_curve(scored.truth, scored.scores)
    if roc is None or precision_recall is None:
        return None
    share = float((scored.truth > 0).mean())
    return {"positive": scored.labels[1], "share": share, "roc": roc, "pr": precision_recall}


def _number_curves(scored: Scored, seed: int) -> dict[str, Any]:
    rows = np.sort(permutation(len(scored.truth), seed, "report points")[:MOST_POINTS])
    errors = scored.scores - scored.truth
    low, high = np.quantile(errors, [0.005, 0.995])
    inside = errors[(errors >= low) & (errors <= high)]
    counts, edges = np.histogram(inside, HISTOGRAM_BINS, (low, high) if high > low else (low - 0.5, low + 0.5))
    return {
        "points": {"truth": _short(scored.truth[rows]), "answer": _short(scored.scores[rows])},
        "errors": {"counts": counts.tolist(), "edges": _short(edges), "beyond": int(len(errors) - len(inside))},
    }


def _short(values: np.ndarray[Any, Any]) -> list[float]:
    """Six significant digits: what a plot can show."""
    return [float(f"{value:.6g}") for value in values]
