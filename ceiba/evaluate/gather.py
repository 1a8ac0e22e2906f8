"""What is measured: each output's truth beside its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers import Answer, BinaryAnswer, SequenceAnswer, SpanAnswer
from ceiba.evaluate.language import text_field, text_truth
from ceiba.evaluate.sequences import sequence_truth
from ceiba.evaluate.spans import span_truth
from ceiba.evaluate.tagging import tag_truth
from ceiba.fields import Field, Fields
from ceiba.metrics import known_rows, per_row, predicted
from ceiba.read import Frame

Array = NDArray[Any]
DEFAULT_THRESHOLD = 0.5
COUNTED = ("tags", "text", "span", "sequence", "preference")
"""Kinds of answers whose rows hold counts that add up, in place of scores."""
BEST = {"tags": ("accuracy", 1.0), "span": ("token_f1", 1.0), "sequence": ("chrf", 100.0)}
"""The figure of a row of such answers, and its greatest value."""


class Answers(Protocol):
    """The part of a Predictor that is measured."""

    @property
    def fields(self) -> Fields:
        """The fitted fields of inputs and outputs."""

    @property
    def answers(self) -> Mapping[str, Answer]:
        """How each output's logits are read."""

    def logits(self, frame: Frame) -> dict[str, Array]:
        """Logits of every row, by output, from one pass over the frame."""


class AnyBaselines(Protocol):
    """What a model is compared with."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and the user should know."""

    def scores(self, frame: Frame) -> dict[str, dict[str, Array]]:
        """{"constant" | "quick": {output: scores of every row}}."""

    def about(self) -> Mapping[str, Mapping[str, Any]]:
        """{output: {"constant" | "quick": what it is}}."""


@dataclass(frozen=True)
class Scored:
    """One output: what is true and what was answered, row by row, in the user's units."""

    kind: str
    labels: tuple[str, ...]
    threshold: float
    truth: Array
    scores: Array
    said: Array | None = None
    """(row, 2): answer and truth as a person reads them, of answers whose scores are counts; None in the row's second
    place where no truth is known."""

    def take(self, rows: Array) -> "Scored":
        """Only some of the rows."""
        said = None if self.said is None else self.said[rows]
        return replace(self, truth=self.truth[rows], scores=self.scores[rows], said=said)

    def known(self) -> "Scored":
        """Only the rows whose truth is there."""
        known = known_rows(self.truth)
        return self if known.all() else self.take(known)

    def predicted(self) -> Array:
        """The answers: class places, zeros and ones for labels, or numbers."""
        return predicted(self.kind, self.scores, self.threshold)

    def with_scores(self, scores: Array) -> "Scored":
        """The same truths beside another model's scores, which are read with the plain threshold."""
        return replace(self, scores=scores, threshold=DEFAULT_THRESHOLD, said=None)


def output_labels(answer: Answer) -> tuple[str, ...]:
    """The labels of an answer; none for a number."""
    return tuple(getattr(answer, "labels", ()))


def read_truth(frame: Frame, name: str, field: Field, answer: Answer) -> Array:
    """An output's truths in the user's units, missing ones as its field marks them.

    Raises: DataError naming the column that is absent or holds a bad value.
    """
    parts = [np.asarray(field.target(chunk)) for chunk in frame.column(name)]
    nothing = pa.array([], frame.schema.field(name).type)
    truth = np.concatenate(parts) if parts else np.asarray(field.target(nothing))
    return answer.scores(truth) if answer.kind == "number" else truth


def preference_truth(logits: Array) -> Array:
    """1 for each row, NaN for one without two answers."""
    return np.where((logits == 0).all(axis=1), np.nan, 1.0)


def gather(frame: Frame, predictor: Answers) -> dict[str, Scored]:
    """Every output's truths and scores, from one pass through the predictor."""
    return beside_truth(frame, predictor, predictor.logits(frame))


def beside_truth(frame: Frame, predictor: Answers, logits: Mapping[str, Array]) -> dict[str, Scored]:
    """Every output's truths, and what logits of the same rows say."""
    scored = {}
    for name, answer in predictor.answers.items():
        if answer.kind == "text":
            truth = text_truth(frame, name, text_field(predictor.fields, name), logits[name][:, 1])
            scored[name] = Scored("text", (), DEFAULT_THRESHOLD, truth, answer.scores(logits[name]))
            continue
        if answer.kind == "tags":
            truth, counts, said = tag_truth(frame, name, predictor.fields, answer.scores(logits[name]))
            scored[name] = Scored("tags", output_labels(answer), DEFAULT_THRESHOLD, truth, counts, said)
            continue
        if isinstance(answer, SpanAnswer):
            truth, counts, said = span_truth(frame, name, answer, predictor.fields, logits[name])
            scored[name] = Scored("span", (), DEFAULT_THRESHOLD, truth, counts, said)
            continue
        if isinstance(answer, SequenceAnswer):
            truth, counts, said = sequence_truth(frame, name, answer, predictor.fields, logits[name])
            scored[name] = Scored("sequence", (), DEFAULT_THRESHOLD, truth, counts, said)
            continue
        if answer.kind == "preference":
            truth = preference_truth(logits[name])
            scored[name] = Scored("preference", (), DEFAULT_THRESHOLD, truth, answer.scores(logits[name]))
            continue
        threshold = answer.threshold if isinstance(answer, BinaryAnswer) else DEFAULT_THRESHOLD
        truth = read_truth(frame, name, predictor.fields.outputs[name], answer)
        scored[name] = Scored(answer.kind, output_labels(answer), threshold, truth, answer.scores(logits[name]))
    return scored


def without_truth(scored: Mapping[str, Scored]) -> dict[str, int]:
    """Rows of each output that cannot be measured."""
    return {name: int((~known_rows(one.truth)).sum()) for name, one in scored.items()}


def row_losses(scored: Scored) -> Array:
    """How wrong each row's answer is; rows without a truth are not wrong at all."""
    known = known_rows(scored.truth)
    losses = np.zeros(len(scored.truth))
    truth, scores = scored.truth[known], np.asarray(scored.scores[known], dtype=np.float64)
    if scored.kind in BEST:
        metric, best = BEST[scored.kind]
        losses[known] = best - per_row(scored.kind, truth, scores, metric)
    elif scored.kind == "number":
        losses[known] = np.abs(scores - truth)
    elif scored.kind == "labels":
        losses[known] = np.abs(scores - truth).mean(axis=1)
    elif scored.kind == "binary":
        losses[known] = np.abs(scores - truth)
    else:
        losses[known] = 1 - scores[np.arange(len(truth)), truth]
    return losses


def texts(labels: Sequence[str], scored: Scored) -> tuple[list[Any], list[Any]]:
    """Answers and truths as a person reads them; a missing truth is None."""
    known = known_rows(scored.truth)

    def read(value: Any) -> Any:
        if scored.kind == "number":
            return float(value)
        if scored.kind == "labels":
            return [labels[int(place)] for place in np.flatnonzero(value > DEFAULT_THRESHOLD)]
        return labels[int(value)]

    truths = [read(value) if there else None for value, there in zip(scored.truth, known, strict=True)]
    return [read(value) for value in scored.predicted()], truths
