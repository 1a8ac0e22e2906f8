"""Measuring on rows that are not split yet: a file, or a table in memory."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ceiba.base.memory import PeakMemory
from ceiba.evaluate.baseline import recall_constants
from ceiba.evaluate.evaluate import evaluate
from ceiba.evaluate.gather import Scored
from ceiba.evaluate.since import since, told
from ceiba.predict import Predictor
from ceiba.prepare import clean_frame
from ceiba.read import Frame, open_frame

SPLIT = "test"
"""The split that such rows are."""


def evaluate_data(
    predictor: Predictor, source: object, slices: Sequence[str] = (), seed: int = 0, origin: Predictor | None = None
) -> dict[str, Any]:
    """The report of rows read and cleaned as the training rows were, beside the constant that training would answer.

    There is no quick baseline: it would have to learn from the training rows, which are not at hand. With the model
    that this one began with, `since` holds what became of the origin's answers to the same rows.

    Raises: DataError for what cannot be read, and for a column that is absent or holds a bad value; InputError for an
    origin that answers nothing alike.
    """
    with PeakMemory() as memory:
        raw = source if isinstance(source, Frame) else open_frame(source, predictor.reading)
        frame = clean_frame(raw, predictor.cleaner.operations)
        constants = recall_constants(predictor.fields, predictor.answers)
        kept: dict[str, Scored] = {}
        report = evaluate(
            predictor, {SPLIT: frame}, slices=slices, baselines=constants, seed=seed,
            keep=lambda split, rows, scored: kept.update(scored),
        )  # fmt: skip
        if origin is not None:
            rows = clean_frame(raw, origin.cleaner.operations)
            report["since"] = since(kept, predictor, origin, rows, seed)
            report["notes"] += [told(name, one) for name, one in report["since"].items()]
    report["notes"] = [*frame.notes, *report["notes"]]
    report["cost"]["peak_memory_bytes"] = memory.bytes
    return report | {"title": PurePath(frame.origin).name}
