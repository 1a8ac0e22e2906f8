"""Measuring on rows that are not split yet: a file, or a table in memory."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ceiba.base.memory import PeakMemory
from ceiba.evaluate.baseline import recall_constants
from ceiba.evaluate.evaluate import evaluate
from ceiba.predict import Predictor
from ceiba.prepare import clean_frame
from ceiba.read import Frame, open_frame

SPLIT = "test"
"""The split that such rows are."""


def evaluate_data(predictor: Predictor, source: object, slices: Sequence[str] = (), seed: int = 0) -> dict[str, Any]:
    """The report of rows read and cleaned as the training rows were, beside the constant that training would answer.

    There is no quick baseline: it would have to learn from the training rows, which are not at hand.

    Raises: DataError for what cannot be read, and for a column that is absent or holds a bad value.
    """
    with PeakMemory() as memory:
        raw = source if isinstance(source, Frame) else open_frame(source, predictor.reading)
        frame = clean_frame(raw, predictor.cleaner.operations)
        constants = recall_constants(predictor.fields, predictor.answers)
        report = evaluate(predictor, {SPLIT: frame}, slices=slices, baselines=constants, seed=seed)
    report["notes"] = [*frame.notes, *report["notes"]]
    report["cost"]["peak_memory_bytes"] = memory.bytes
    return report | {"title": PurePath(frame.origin).name}
