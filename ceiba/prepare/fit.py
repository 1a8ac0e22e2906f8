"""Frame → Fields: what is learnt about each column, from training rows only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.cores import usable_cores
from ceiba.base.errors import DataError, RecipeError, nearest
from ceiba.fields import Field, Fields, FieldSpec, Ragged, Target, TextSpec, TokenField, as_written, joined
from ceiba.read import Frame, are_lines

MANY_LABELS, RECUR = 20, 2
"""More labels than this must recur, on average so often: what differs in every row cannot be learnt."""
MOST_THREADS = 8
"""Columns fitted at a time, at most; each holds a batch and what it learns."""


@dataclass(frozen=True)
class _Columns(Iterable[pa.Array]):
    """Several columns one after the other, so that inputs which share a field teach it together."""

    frame: Frame
    names: tuple[str, ...]

    def __iter__(self) -> Iterator[pa.Array]:
        return chain.from_iterable(self.frame.column(name, coded=True) for name in self.names)


def fit_fields(
    frame: Frame,
    inputs: Mapping[str, FieldSpec],
    outputs: Mapping[str, FieldSpec],
    seed: int = 0,
    shared: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    known: Mapping[str, Field] | None = None,
    lent: Mapping[str, str] | None = None,
) -> Fields:
    """Fit every column of a recipe on the training rows.

    An input in `shared` uses the field of another input, which then learns from both columns. An input in `columns`
    reads the column of that name, so that several inputs may be views of one column. A field in `known` that is of its
    column's kind is taken as it is: what reads it was taught with it. An output in `lent` is written in the tokens of
    an input, which learns them from both columns.

    Raises: RecipeError for a target among the inputs; DataError for a column that is absent, holds no value, or, as a
        target, only one; and for a value that is not of its column's kind.
    """
    shared, columns, known, lent = dict(shared or {}), dict(columns or {}), known or {}, lent or {}
    _check(frame, inputs, outputs, shared, columns)
    kept = {
        name: known[name] for name, spec in {**inputs, **outputs}.items()
        if name in known and known[name].kind == spec.type
    }  # fmt: skip
    fitted_outputs = {
        name: kept[name] if name in kept else _fit_output(frame, name, spec, seed)
        for name, spec in outputs.items()
        if name not in lent
    }
    target = _first_target(frame, fitted_outputs)
    own = [name for name in inputs if name not in shared]

    def fit(name: str) -> Field:
        if name in kept:
            return kept[name]
        users = (name, *(other for other, owner in shared.items() if owner == name))
        names = [columns.get(user, user) for user in users]
        names += [output for output, owner in lent.items() if owner == name]
        return _fit(frame, names, inputs[name], target if len(users) == 1 else None, seed)

    with ThreadPoolExecutor(min(usable_cores(), MOST_THREADS), thread_name_prefix="ceiba-fit") as pool:
        fitted_inputs = dict(zip(own, pool.map(fit, own), strict=True))
    for name, owner in lent.items():
        fitted_outputs[name] = _lent(name, outputs[name], fitted_inputs[owner])
    fitted_outputs = {name: fitted_outputs[name] for name in outputs}
    return Fields({name: fitted_inputs[shared.get(name, name)] for name in inputs}, fitted_outputs, shared, columns)


def _lent(name: str, spec: FieldSpec, field: Field) -> Field:
    """The field of an output that is written in an input's tokens."""
    assert isinstance(spec, TextSpec)
    if not isinstance(field, TokenField):
        raise RecipeError(f"output '{name}' must share the tokens of a text", field.kind, "Leave share out")
    return as_written(field, spec.max_tokens)


def _first_target(frame: Frame, outputs: Mapping[str, Field]) -> Target | None:
    """The first output that is one class or one number a row, for bins that follow it."""
    nothing = pa.array([], pa.string())
    for name, field in outputs.items():
        values = field.target(nothing)
        if not isinstance(values, Ragged) and values.ndim == 1:
            return Target(_TargetValues(frame, name, field), bool(np.issubdtype(values.dtype, np.integer)))
    return None


class _TargetValues(Iterable[NDArray[Any]]):
    """An output's values beside the rows: encoded when first asked for, then kept, in 4 bytes a row."""

    def __init__(self, frame: Frame, name: str, field: Field):
        self.frame, self.name, self.field = frame, name, field
        self.kept: list[NDArray[Any]] | None = None
        self.lock = Lock()

    def __iter__(self) -> Iterator[NDArray[Any]]:
        with self.lock:
            if self.kept is None:
                chunks = self.frame.column(self.name, coded=True)
                encoded = (np.asarray(self.field.target(chunk)) for chunk in chunks)
                self.kept = [one.astype(np.int32 if one.dtype == np.int64 else np.float32) for one in encoded]
        return iter(self.kept)


def _fit_output(frame: Frame, name: str, spec: FieldSpec, seed: int) -> Field:
    field = _fit(frame, (name,), spec, None, seed)
    if not _varies(field):
        where = f"{frame.origin} column '{name}'"
        raise DataError(
            f"{where} must take at least two values to be a target", "one in all rows", "Choose another target"
        )
    labels = getattr(field, "labels", ())
    if len(labels) > MANY_LABELS and sum(getattr(field, "counts", ())) < RECUR * len(labels):
        raise DataError(
            f"{frame.origin} column '{name}' must repeat its labels to be a target",
            f"{len(labels)} labels in {frame.num_rows} rows",
            "Choose another target",
        )
    return field


def _varies(field: Field) -> bool:
    """Whether a field learnt of more than one value; a set may have one member, since it may lack it."""
    labels = getattr(field, "labels", None)
    if labels is not None:
        return len(labels) > (0 if field.kind == "set" else 1)
    return bool(getattr(field, "low", 0.0) < getattr(field, "high", 1.0))


@dataclass(frozen=True)
class _Lines(Iterable[pa.Array]):
    """The lines of one text, joined again."""

    frame: Frame
    name: str

    def __iter__(self) -> Iterator[pa.Array]:
        return joined(self.frame.column(self.name))


def _fit(frame: Frame, names: Sequence[str], spec: FieldSpec, target: Target | None, seed: int) -> Field:
    is_one_text = isinstance(spec, TextSpec) and spec.whole and are_lines(frame, names[0])
    column: Iterable[pa.Array] = _Lines(frame, names[0]) if is_one_text else _Columns(frame, tuple(names))
    try:
        return spec.fit(column, target, seed)
    except DataError as error:
        raise error.at(f"{frame.origin} column '{names[0]}'") from error


def _check(
    frame: Frame,
    inputs: Mapping[str, FieldSpec],
    outputs: Mapping[str, FieldSpec],
    shared: Mapping[str, str],
    columns: Mapping[str, str],
) -> None:
    if not inputs:
        raise RecipeError(
            "inputs must name a column to learn from", "none", f"Use some of the columns of {frame.origin}"
        )
    read = [columns.get(name, name) for name in inputs]
    for name in (*read, *outputs):
        if name not in frame.names:
            raise DataError(
                f"{frame.origin} must have the column '{name}'", "none of that name", nearest(name, frame.names)
            )
    if both := [name for name in outputs if name in read]:
        raise RecipeError("a target must not be among the inputs", f"'{both[0]}' in both", "Remove it from inputs")
    for name, owner in shared.items():
        if name not in inputs or owner not in inputs or owner in shared:
            raise RecipeError(
                f"input '{name}' must share the field of another input", f"'{owner}'", nearest(owner, inputs)
            )
    if frame.num_rows == 0:
        raise DataError(
            f"{frame.origin} must have rows to learn from", "0 rows", "Check the file, data.clean and data.split"
        )
