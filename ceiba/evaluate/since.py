"""A model beside the one that it began with, on the same rows: what it forgot, or what it gained."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ceiba.answers import Answer
from ceiba.base.errors import InputError, listed
from ceiba.evaluate.gather import Answers, Scored, gather, output_labels
from ceiba.evaluate.rows import PAIRED
from ceiba.fields import TokenField
from ceiba.metrics import METRICS, figures, paired_difference, per_row
from ceiba.read import Frame


def since(
    scored: Mapping[str, Scored], predictor: Answers, origin: Answers, frame: Frame, seed: int = 0
) -> dict[str, Any]:
    """{output: the origin's figures, and the mean of each row's figure now minus then, with the interval of the pairs}.

    `scored` are the predictor's answers to the rows; `frame` holds the same rows as the origin reads them. Only targets
    that both answer alike are compared.

    Raises: InputError if there is none, or the rows are not the same.
    """
    shared = [name for name in scored if name in origin.answers and are_alike(name, predictor, origin)]
    if not shared:
        got = f"{listed(predictor.answers)} and {listed(origin.answers)}"
        raise InputError("The two models must answer a target in common, alike", got, "Learn both targets at once")
    earlier = gather(frame, origin)
    return {name: compared(scored[name], earlier[name], name, seed) for name in shared}


def are_alike(name: str, first: Answers, second: Answers) -> bool:
    """Whether two models answer a target in the same kind and the same labels; a text, in the same tokens."""
    mine, theirs = first.answers[name], second.answers[name]
    return (mine.kind, output_labels(mine)) == (theirs.kind, output_labels(theirs)) and (
        mine.kind != "text" or tokens_of(first, name, mine) == tokens_of(second, name, theirs)
    )


def tokens_of(model: Answers, name: str, answer: Answer) -> object:
    """What a language model counts by: its tokens, and how many it sees."""
    field = model.fields.inputs.get(name)
    assert isinstance(field, TokenField)
    return field.trained, field.max_tokens


def compared(now: Scored, then: Scored, name: str, seed: int) -> dict[str, Any]:
    """Both sets of figures, their paired difference and what it says."""
    if not np.array_equal(now.truth, then.truth, equal_nan=True):
        raise InputError(f"Both models must see the same truths of '{name}'", "others", "Clean the rows alike")
    metric = PAIRED[now.kind]
    values = [per_row(one.kind, one.truth, one.scores, metric, one.threshold) for one in (now, then)]
    known = then.known()
    found = figures(known.kind, known.truth, known.scores, known.threshold, seed=seed, labels=known.labels)
    difference: dict[str, Any] = dict(paired_difference(values[0], values[1], seed=seed) or {})
    return {"origin": dict(found), "metric": metric, **difference, "verdict": verdict_of(metric, difference)}


def verdict_of(metric: str, difference: Mapping[str, Any]) -> str:
    """forgotten, gained, or no clear difference."""
    is_lower = metric not in METRICS or METRICS[metric].better == "lower"  # an error, as the squared one
    low, high = difference.get("low", 0.0), difference.get("high", 0.0)
    if low <= 0 <= high:
        return "no clear difference"
    return "gained" if (high < 0) == is_lower else "forgotten"


def told(name: str, one: Mapping[str, Any]) -> str:
    """One line for a person."""
    span = f"{one['value']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]" if "value" in one else "no rows"
    return f"Since its origin, {name} {one['metric'].replace('_', ' ')} a row: {span}, {one['verdict']}."
