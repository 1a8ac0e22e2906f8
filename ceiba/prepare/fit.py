"""Frame → Fields: what is learnt about each column, from training rows only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa

from ceiba.base.errors import DataError, RecipeError, nearest
from ceiba.clean.hashing import hash_values
from ceiba.fields import Field, Fields, FieldSpec, Target
from ceiba.prepare.targets import is_missing
from ceiba.read import Frame


@dataclass(frozen=True)
class _Columns(Iterable[pa.Array]):
    """Several columns one after the other, so that inputs which share a field teach it together."""

    frame: Frame
    names: tuple[str, ...]

    def __iter__(self) -> Iterator[pa.Array]:
        return chain.from_iterable(self.frame.column(name) for name in self.names)


def fit_fields(
    frame: Frame,
    inputs: Mapping[str, FieldSpec],
    outputs: Mapping[str, FieldSpec],
    seed: int = 0,
    shared: Mapping[str, str] | None = None,
) -> Fields:
    """Fit every column of a recipe on the training rows.

    An input in `shared` uses the field of another input, which then learns from both columns.

    Raises: RecipeError for a target among the inputs; DataError for a column that is absent, holds no value, or, as a
        target, only one; and for a value that is not of its column's kind.
    """
    shared = dict(shared or {})
    _check(frame, inputs, outputs, shared)
    fitted_outputs = {name: _fit(frame, (name,), spec, None, seed) for name, spec in outputs.items()}
    target = _first_target(frame, fitted_outputs)
    fitted_inputs = {}
    for name, spec in inputs.items():
        if name not in shared:
            names = (name, *(other for other, owner in shared.items() if owner == name))
            fitted_inputs[name] = _fit(frame, names, spec, target if len(names) == 1 else None, seed)
    return Fields({name: fitted_inputs[shared.get(name, name)] for name in inputs}, fitted_outputs, shared)


def _first_target(frame: Frame, outputs: Mapping[str, Field]) -> Target | None:
    """The first output that is one class or one number a row, for bins that follow it; 4 bytes a row while fitting."""
    for name, field in outputs.items():
        values = [field.target(chunk) for chunk in frame.column(name)]
        if values[0].ndim == 1:
            is_class = bool(np.issubdtype(values[0].dtype, np.integer))
            narrow = np.int32 if is_class else np.float32
            return Target([part.astype(narrow) for part in values], is_class)
    return None


def _fit(frame: Frame, names: Sequence[str], spec: FieldSpec, target: Target | None, seed: int) -> Field:
    try:
        return spec.fit(_Columns(frame, tuple(names)), target, seed)
    except DataError as error:
        raise error.at(f"{frame.origin} column '{names[0]}'") from error


def _check(
    frame: Frame, inputs: Mapping[str, FieldSpec], outputs: Mapping[str, FieldSpec], shared: Mapping[str, str]
) -> None:
    if not inputs:
        raise RecipeError(
            "inputs must name a column to learn from", "none", f"Use some of the columns of {frame.origin}"
        )
    for name in (*inputs, *outputs):
        if name not in frame.names:
            raise DataError(
                f"{frame.origin} must have the column '{name}'", "none of that name", nearest(name, frame.names)
            )
    if both := [name for name in outputs if name in inputs]:
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
    for name in inputs:
        if _distinct(frame, name, 1) < 1:
            raise DataError(
                f"{frame.origin} column '{name}' must hold a value", "only missing ones", "Remove it from inputs"
            )
    for name in outputs:
        found = _distinct(frame, name, 2)
        if found < 2:
            got = "one value in all rows" if found else "only missing ones"
            raise DataError(
                f"{frame.origin} column '{name}' must take at least two values to be a target",
                got,
                "Choose another target",
            )


def _distinct(frame: Frame, name: str, enough: int) -> int:
    """How many values a column takes, counted no further than `enough`; stops at the first rows that show it."""
    seen: set[int] = set()
    for chunk in frame.column(name):
        known = chunk.filter(pa.array(~is_missing(chunk)))
        if len(known) and enough == 1:
            return 1
        seen.update(np.unique(hash_values(known))[:enough].tolist())
        if len(seen) >= enough:
            return enough
    return len(seen)
