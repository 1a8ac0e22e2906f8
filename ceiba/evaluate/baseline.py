"""Baselines: what a model must beat to be worth its training."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.answers import Answer
from ceiba.base.keys import generator
from ceiba.evaluate.gather import output_labels, read_truth
from ceiba.evaluate.quick import Inputs, Quick, fit_inputs, fit_quick, input_kinds, most_rows, one_thread, quick_scores
from ceiba.fields import Fields
from ceiba.metrics import figures, known_rows
from ceiba.read import Frame

Array = NDArray[Any]


@dataclass(frozen=True)
class Constant:
    """The answer that never looks: class frequencies, label frequencies, or the mean of the training rows."""

    kind: str
    value: Array
    text: str

    def scores(self, num_rows: int) -> Array:
        """The same scores for every row."""
        return np.repeat(self.value[None], num_rows, axis=0)


@dataclass(frozen=True)
class Baselines:
    """A constant and a quick model for each output, learnt from the training rows."""

    fields: Fields
    answers: Mapping[str, Answer]
    constant: Mapping[str, Constant]
    quick: Mapping[str, Quick]
    notes: tuple[str, ...] = ()
    """What was left out, and the user should know."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    ask: Callable[[Mapping[str, Quick], Frame], dict[str, Array]] = quick_scores
    """The quick models' scores of a frame: computed here, or where the models are."""

    def scores(self, frame: Frame) -> dict[str, dict[str, Array]]:
        """{"constant" | "quick": {output: scores in the user's units}} of every row."""
        constant = {name: one.scores(frame.num_rows) for name, one in self.constant.items()}
        found: dict[str, dict[str, Array]] = {"constant": constant}
        if self.quick:
            found["quick"] = self.ask(self.quick, frame)
        return found

    def figures(self, frame: Frame, seed: int = 0) -> dict[str, dict[str, Any]]:
        """{output: {"constant" | "quick": {metric: figure}}} on rows with truths."""
        table: dict[str, dict[str, Any]] = {name: {} for name in self.answers}
        truths = {name: read_truth(frame, name, self.fields.outputs[name], one) for name, one in self.answers.items()}
        for baseline, outputs in self.scores(frame).items():
            for name, scores in outputs.items():
                answer = self.answers[name]
                table[name][baseline] = figures(
                    answer.kind, truths[name], scores, seed=seed, labels=output_labels(answer)
                )
        return table

    def about(self) -> dict[str, dict[str, Any]]:
        """{output: {"constant" | "quick": what it is}}."""
        table: dict[str, dict[str, Any]] = {}
        for name, constant in self.constant.items():
            table[name] = {"constant": {"model": constant.text}}
            if name in self.quick:
                quick = self.quick[name]
                seconds = round(self.seconds.get(name, 0.0), 3)
                table[name]["quick"] = {"model": quick.text, "rows": quick.rows, "seconds": seconds}
        return table


def constant_number(mean: float) -> Constant:
    """Always the same number."""
    return Constant("number", np.asarray(np.float64(mean)), f"always the mean, {mean:.6g}")


def constant_class(kind: str, labels: Sequence[str], counts: Array) -> Constant:
    """Every class by its share of the training rows; the most frequent one is the answer."""
    shares = np.asarray(counts, dtype=np.float64) / max(float(np.sum(counts)), 1.0)
    value = shares[1] if kind == "binary" else shares
    return Constant(kind, np.asarray(value), f"always {labels[int(shares.argmax())]}")


def fit_constant(answer: Answer, truth: Array) -> Constant:
    """The constant answer that fits these truths best."""
    if answer.kind == "number":
        return constant_number(float(truth.mean()))
    if answer.kind == "labels":
        return Constant(answer.kind, truth.mean(axis=0, dtype=np.float64), "each label by its frequency")
    labels = output_labels(answer)
    return constant_class(answer.kind, labels, np.bincount(truth, minlength=len(labels)))


def recall_constants(fields: Fields, answers: Mapping[str, Answer]) -> Baselines:
    """The constants that fitted fields remember of their training rows, where those rows are no longer at hand."""
    constant: dict[str, Constant] = {}
    for name, answer in answers.items():
        counts = getattr(fields.outputs.get(name), "counts", ())
        if answer.kind == "number":
            constant[name] = constant_number(float(answer.scores(np.zeros(1))[0]))
        elif answer.kind in ("binary", "classes") and len(counts) == len(output_labels(answer)):
            constant[name] = constant_class(answer.kind, output_labels(answer), np.asarray(counts))
    return Baselines(fields, dict(answers), constant, {})


def fit_baselines(train: Frame, fields: Fields, answers: Mapping[str, Answer], seed: int = 0) -> Baselines:
    """Learn both baselines of every output from the training rows, a keyed choice of them where they are many.

    An output that its training rows leave without two values has only a constant, as have inputs of unknown kinds.

    Raises: MissingPackage without scikit-learn; DataError for a column that is absent or holds a bad value.
    """
    constant: dict[str, Constant] = {}
    quick: dict[str, Quick] = {}
    seconds: dict[str, float] = {}
    notes: list[str] = []
    built: dict[bytes, tuple[Inputs, Any]] = {}
    for name, answer in answers.items():
        truth = read_truth(train, name, fields.outputs[name], answer)
        known = np.flatnonzero(known_rows(truth))
        if len(known) == 0:
            continue
        constant[name] = fit_constant(answer, truth[known])
        rows = chosen_rows(known, most_rows(fields), seed)
        if len(rows) < len(known):
            notes.append(f"The quick baseline of '{name}' learnt from {len(rows):,} of {len(known):,} training rows")
        if not input_kinds(fields) or len(np.unique(truth[rows], axis=0)) < 2:
            continue
        began = time.perf_counter()
        with one_thread():
            if rows.tobytes() not in built:
                built[rows.tobytes()] = fit_inputs(train.take(rows), fields, seed)
            quick[name] = fit_quick(*built[rows.tobytes()], fields, answer, truth[rows], seed)
        seconds[name] = time.perf_counter() - began
    return Baselines(fields, dict(answers), constant, quick, tuple(notes), seconds)


def chosen_rows(rows: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    """The rows, or a keyed choice of the most that are quick to learn, in rising order."""
    if len(rows) <= limit:
        return rows
    return np.sort(generator(seed, "quick baseline").choice(rows, limit, replace=False))
