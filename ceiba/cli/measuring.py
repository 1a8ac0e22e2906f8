"""Measuring from a program: the report of `ceiba evaluate` as plain values that a notebook shows as its page."""

from collections.abc import Sequence
from typing import Any

from ceiba.cli import resolve
from ceiba.predict import Predictor


class Report(dict[str, Any]):
    """A report: plain values, ready for JSON; in a notebook, its page."""

    def _repr_html_(self) -> str:
        return str(resolve("ceiba.report:render_html")(self))


def evaluate(predictor: Predictor, source: object, slices: Sequence[str] = (), seed: int = 0) -> Report:
    """The figures of an opened bundle on rows that hold its targets; `slices` are columns to measure by.

    Raises: DataError for what cannot be read, and for a column that is absent or holds a bad value.
    """
    return Report(resolve("ceiba.evaluate:evaluate_data")(predictor, source, slices, seed))
