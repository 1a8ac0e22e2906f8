"""Answers from a text beside the truth, and the baseline that never answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers import SpanAnswer
from ceiba.evaluate.said import NOTHING, as_said
from ceiba.fields import Fields
from ceiba.fields.span import as_spans
from ceiba.metrics import span_scores
from ceiba.predict import quoted_texts
from ceiba.read import Frame

Array = NDArray[Any]


def truths_of(column: pa.Array) -> Iterator[list[str] | None]:
    """All good answers of each row; None where they are not known."""
    values, offsets, known = as_spans(column)
    texts = values.field("text").to_pylist() if len(values) else []
    for row, is_known in enumerate(known):
        yield texts[offsets[row] : offsets[row + 1]] if is_known else None


def nearest_truth(answer: str | None, truths: list[str]) -> str:
    """The answer itself where it is one of the good ones, else the first of them."""
    return answer if answer is not None and answer in truths else next(iter(truths), NOTHING)


def span_truth(
    frame: Frame, name: str, answer: SpanAnswer, fields: Fields, logits: Array
) -> tuple[Array, Array, Array]:
    """Of each row: (has an answer, has none), NaN if that is not known; (exact match, F1, answered); and the answer
    beside a good one, the same where it is one of them."""
    there, found, start = [], [], 0
    answers: list[str] = []
    good: list[str | None] = []
    for batch in frame.batches((fields.column(answer.source), name)):
        rows = logits[start : start + batch.num_rows]
        start += batch.num_rows
        quotes = answer.quotes(rows, quoted_texts(fields, answer.source, batch))
        for quote, truths in zip(quotes, truths_of(batch.column(1)), strict=True):
            has = np.nan if truths is None else float(bool(truths))
            there.append((has, 1 - has))
            found.append((*span_scores(quote, truths or ()), float(quote is not None)))
            answers.append(NOTHING if quote is None else quote)
            good.append(None if truths is None else nearest_truth(quote, truths))
    return np.array(there).reshape(-1, 2), np.array(found).reshape(-1, 3), as_said(answers, good)


@dataclass(frozen=True)
class SpanBaselines:
    """No answer to any question: right where there is none."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def scores(self, frame: Frame) -> dict[str, dict[str, Array]]:
        """{"constant": {output: scores of every row}}."""
        found: dict[str, Array] = {}
        for name in self.names:
            truths = [one for column in frame.column(name) for one in truths_of(column)]
            rows = [(*span_scores(None, one or ()), 0.0) for one in truths]
            found[name] = np.array(rows).reshape(-1, 3)
        return {"constant": found}

    def about(self) -> Mapping[str, Mapping[str, Any]]:
        """{output: {"constant": what it is}}."""
        return {name: {"constant": {"model": "never an answer"}} for name in self.names}
