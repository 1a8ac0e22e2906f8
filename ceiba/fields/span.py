"""A span: the piece of a text that answers, or nothing where the text holds no answer."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields.columns import bad_value, no_values, plain
from ceiba.fields.field import Array, Encoded, Field, FieldSpec, Target

ANSWERS = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int64())]))
MISSING = -1
"""Both ends of a row whose answer is not known."""


def as_spans(column: pa.Array) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.bool_]]:
    """A column of answers → all answers of all rows as {text, start}, where each row's begin and end among them, and
    which rows are known. A row holds one answer or a list of equally good ones, as objects or as JSON text;
    an empty list says that there is none.

    Raises: DataError for a column of another form.
    """
    column = plain(column)
    if pa.types.is_string(column.type):
        column = _spelled(column)
    if pa.types.is_null(column.type):
        return pa.array([], pa.struct([])), np.zeros(len(column) + 1, np.int64), np.zeros(len(column), np.bool_)
    known: NDArray[np.bool_] = np.asarray(column.is_valid())
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths, values = pc.fill_null(pc.list_value_length(column), 0), column.flatten()
    else:
        lengths, values = pa.array(known.astype(np.int64)), column.drop_null()
    offsets: NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths), dtype=np.int64)])
    if pa.types.is_null(values.type):  # no row has an answer
        return pa.array([], pa.struct([])), offsets, known
    names = [field.name for field in values.type] if pa.types.is_struct(values.type) else []
    if not {"text", "start"} <= set(names):
        rule = "must hold answers, each an object with its text and its start"
        raise DataError(rule, f"the Arrow type {column.type}", "Write [{text: ..., start: ...}], [] for no answer")
    return values, offsets, known


def _spelled(column: pa.Array) -> pa.Array:
    """Answers that are written as JSON, as a table of text has them."""
    rows: list[Any] = []
    for place, text in enumerate(column.to_pylist()):
        try:
            rows.append(json.loads(text) if text and text.strip() else None)
        except ValueError as error:
            raise bad_value("be answers in JSON, [{text: ..., start: ...}]", text, place) from error
    try:
        return pa.array([[row] if isinstance(row, dict) else row for row in rows], ANSWERS)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        problem = str(error).splitlines()[0]
        raise DataError("must hold answers in JSON", problem, "Write [{text: ..., start: ...}], [] for none") from error


@dataclass(frozen=True)
class SpanField(Field):
    """Answers → where they begin and end, in characters of the text they are from; (0, 0) says that there is none."""

    kind: ClassVar[str] = "span"

    answered: int
    """Training rows with an answer."""
    unanswered: int
    """Training rows whose text holds none."""

    def encode(self, column: pa.Array) -> Encoded:
        return {"span": self.target(column)}

    def target(self, column: pa.Array) -> Array:
        """(row, 2): the first answer of each row."""
        values, offsets, known = as_spans(column)
        found = np.zeros((len(known), 2), dtype=np.int64)
        found[~known] = MISSING
        rows = np.flatnonzero(np.diff(offsets))
        if len(rows):
            first = values.take(pa.array(offsets[rows]))
            starts = np.asarray(pc.fill_null(pc.struct_field(first, "start"), 0).cast(pa.int64()))
            lengths = np.asarray(pc.utf8_length(pc.fill_null(pc.struct_field(first, "text"), "")).cast(pa.int64()))
            found[rows] = np.stack([starts, starts + lengths], axis=1)
        return found


class SpanSpec(FieldSpec):
    """A column of answers that stand in a text: lists of {text, start}, the start in characters from 0."""

    field_class: ClassVar[type[Field]] = SpanField

    type: Literal["span"] = "span"
    """The kind of the column."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> Field:
        answered = rows = 0
        for chunk in column:
            _, offsets, known = as_spans(chunk)
            answered += int((np.diff(offsets) > 0).sum())
            rows += int(known.sum())
        if not rows:
            raise no_values("must hold answers")
        return SpanField(answered, rows - answered)
