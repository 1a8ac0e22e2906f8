"""Baselines learnt while the model trains: in the helping process where there is one, else on a thread."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers import Answer
from ceiba.base.ranks import leads
from ceiba.base.side_process import Helper, helper
from ceiba.evaluate.baseline import Baselines, fit_baselines
from ceiba.evaluate.gather import Answers, AnyBaselines
from ceiba.evaluate.language import fit_text_baselines
from ceiba.evaluate.preference import PreferenceBaselines
from ceiba.evaluate.quick import Inputs, Quick, input_kinds, most_rows, quick_scores
from ceiba.evaluate.sequences import sequence_baselines
from ceiba.evaluate.spans import SpanBaselines
from ceiba.evaluate.spec import EvaluateSpec
from ceiba.evaluate.tagging import fit_tag_baselines
from ceiba.fields import Fields
from ceiba.read import Frame, open_frame

Scores = dict[str, NDArray[Any]]


class Beside:
    """Baselines that are being learnt."""

    def __init__(self, learn: Callable[[], AnyBaselines] | None = None):
        self._learn = learn
        self._found: Future[AnyBaselines] | None = None

    def begin(self) -> None:
        """Start, unless done before: not before the training has measured its settings, which this would disturb."""
        if self._learn is None or self._found is not None:
            return
        pool = ThreadPoolExecutor(1, thread_name_prefix="ceiba-baselines")
        self._found = pool.submit(self._learn)
        pool.shutdown(wait=False)

    def result(self) -> AnyBaselines | None:
        """The baselines, waited for; none if none are asked for."""
        self.begin()
        return None if self._found is None else self._found.result()


def fit_beside(
    spec: EvaluateSpec,
    train: Frame,
    held: Mapping[str, Frame],
    fields: Fields,
    answers: Mapping[str, Answer],
    seed: int = 0,
    start: Callable[[], Answers] | None = None,
) -> Beside:
    """Baselines, if they are asked for, to be learnt beside other work; `start` makes the model that a training of
    preferences began with.

    In the helping process they begin at once, since it can be paused; on a thread they begin when they are told to.
    Rows go to the helper whole, so it is for few rows: those of a training that is over in seconds. It scores the rows
    that are held out at once, so that nobody waits for that either.
    """
    if not spec.baselines or not leads():
        return Beside()
    if compared := tuple(name for name, answer in answers.items() if answer.kind == "preference"):
        return Beside() if start is None else Beside(partial(PreferenceBaselines, compared, start))
    if text := next((name for name, answer in answers.items() if answer.kind == "text"), None):
        return Beside(partial(fit_text_baselines, train, held, fields, text))
    if spans := tuple(name for name, answer in answers.items() if answer.kind == "span"):
        return Beside(partial(SpanBaselines, spans))
    if written := tuple(name for name, answer in answers.items() if answer.kind == "sequence"):
        repeated = sequence_baselines(written, fields, train)
        return Beside() if repeated is None else Beside(lambda: repeated)
    if any(answer.kind == "tags" for answer in answers.values()):
        return Beside(partial(fit_tag_baselines, train, fields))
    other = helper()
    num_rows = max(frame.num_rows for frame in (train, *held.values()))
    is_small = num_rows <= most_rows(fields) and "image" not in input_kinds(fields)
    if other is None or not is_small:
        return Beside(partial(fit_baselines, train, fields, dict(answers), seed))
    found = Beside(partial(_learn_there, other, held, train, fields, dict(answers), seed))
    found.begin()
    return found


def _learn_there(
    other: Helper, held: Mapping[str, Frame], train: Frame, fields: Fields, answers: Mapping[str, Answer], seed: int
) -> Baselines:
    columns, inputs = [*fields.read, *fields.outputs], list(fields.read)
    try:
        found: Baselines = other.call(_learn, train.select(columns).to_table(), fields, answers, seed)
        scores: dict[str, Scores] = {
            frame.identity: other.call(_score, frame.select(inputs).to_table()) for frame in held.values()
        }
    except ChildProcessError:  # the system ended it, for want of memory perhaps: a training is not lost for that
        return fit_baselines(train, fields, answers, seed)
    return replace(found, ask=lambda _, frame: scores[frame.identity])


_learnt: dict[str, Quick] = {}
"""In the helping process: the quick models, which stay there."""


def _learn(rows: pa.Table, fields: Fields, answers: Mapping[str, Answer], seed: int) -> Baselines:
    found = fit_baselines(open_frame(rows), fields, answers, seed)
    _learnt.clear()
    _learnt.update(found.quick)
    bare = {name: replace(model, inputs=Inputs((), ()), models=()) for name, model in _learnt.items()}
    return replace(found, quick=bare)


def _score(rows: pa.Table) -> Scores:
    return quick_scores(_learnt, open_frame(rows))
