"""Rows as a person writes them → columns of one kind each, checked as they arrive.

What is checked here is what can be checked a row at a time: names and kinds. The fields have the last word, when the
batch is encoded. Every value is brought to one Python type, so that a row encodes alike alone and among others.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from ceiba.base.errors import DataError, listed, nearest
from ceiba.clean.columns import ReplaceSpec
from ceiba.clean.text import JoinSpec
from ceiba.fields import Field, as_numbers, as_text
from ceiba.fields.columns import shown
from ceiba.fields.lists import as_words
from ceiba.predict import Predictor
from ceiba.serve.refusal import Refusal

LARGEST = float(np.finfo(np.float32).max)
MOST_KNOWN = 1000
"""Sets of columns that are enough, as clients send them, that are remembered."""
LENGTHS = frozenset({"text", "words"})
"""Kinds of fields whose rows differ in length."""
Convert = Callable[[Any], Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """Checked rows: their values in the order of `names`, and what rows must have in common to share a batch."""

    names: tuple[str, ...]
    values: list[tuple[Any, ...]]
    kinds: tuple[Any, ...]
    size: int = 0
    """Characters of the longest row, or words, for a model of texts: rows of like length make a batch with little
    padding."""

    def __len__(self) -> int:
        return len(self.values)


class Intake:
    """Checks the rows of one model."""

    def __init__(self, predictor: Predictor, missing: str = "error", extra: str = "ignore"):
        """`missing` columns are an "error" or "null"; `extra` ones are an "error", or passed over with "ignore"."""
        self.predictor, self.missing, self.extra = predictor, missing, extra
        reading = predictor.reading
        spellings = frozenset(reading.missing)
        operations = predictor.cleaner.operations
        replaced = {name for one in operations if isinstance(one, ReplaceSpec) for name in one.named()}
        self.fields = fields_by_column(predictor)
        self.kinds: dict[str, tuple[Convert, pa.DataType | None]] = {}
        for name in predictor.columns:
            field = self.fields.get(name)
            convert, arrow = KINDS.get("any" if field is None or name in replaced else field.kind, KINDS["any"])
            self.kinds[name] = (_spelled(convert, spellings) if spellings else convert, arrow)
        self.names = tuple(self.kinds)
        joins = [one for one in operations if isinstance(one, JoinSpec)]
        self.made = {new for one in joins for new, parts in one.columns.items() if new not in parts}
        """Columns that the cleaner makes of others; a row may have them instead."""
        self.asked = tuple(name for name in self.names if name not in self.made)
        """The columns that a person writes."""
        self.texts = {part for one in joins for parts in one.columns.values() for part in parts} - set(self.fields)
        """Those that are joined with others, as text."""
        self._joined = {new for one in joins if type(one) is JoinSpec for new in one.columns} & self.made
        self._known: set[tuple[str, ...]] = set()
        self._every = frozenset(self.names)
        self._whole = self._way(self.names)
        self._is_typed = all(arrow is not None for _, arrow in self.kinds.values())
        self.has_lengths = any(one.kind in LENGTHS for one in predictor.fields.inputs.values())
        self._long = [name for name in self.names if name not in self.fields or self.fields[name].kind in LENGTHS]
        self._nulls: Row = dict.fromkeys(self.names)
        self._allowed = frozenset((*self.names, *predictor.ids, *predictor.answers))

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The columns that a row cannot do without."""
        if self.missing == "null":
            return ()
        rests = {name: tuple(other for other in self.asked if other != name) for name in self.asked}
        return tuple(name for name, rest in rests.items() if self._lacking(rest, {}) is not None)

    @cached_property
    def alone(self) -> str | None:
        """The one column that is a whole row: the only one, or the text that several are joined to."""
        if len(self.asked) == 1:
            return self.asked[0]
        joined = (name for name in self.names if name in self._joined)
        return next((name for name in joined if self._lacking((name,), {}) is None), None)

    def rows(self, rows: Sequence[Any]) -> Rows:
        """Checked rows.

        Raises: Refusal naming the row and the column, for a row that is no object, lacks a column or has a bad value.
        """
        if self.missing == "null":
            rows = [self._nulls | row if type(row) is dict else row for row in rows]
        names = self._columns_of(rows)
        take, converts = self._whole if names == self.names else self._way(names)
        values: list[tuple[Any, ...]] = []
        try:
            for row in rows:
                values.append(tuple([convert(value) for convert, value in zip(converts, take(row), strict=True)]))
        except (KeyError, TypeError, ValueError, OverflowError, DataError) as error:
            place = len(values)
            raise self._refusal(rows[place], place, names) from error
        size = self._size(names, values) if self.has_lengths else 0
        return Rows(names, values, self._signature(names, values), size)

    def _way(self, names: tuple[str, ...]) -> tuple[Callable[[Row], Sequence[Any]], list[Convert]]:
        """What takes the values of some columns from a row, and what converts each."""
        take = itemgetter(*names) if len(names) > 1 else lambda row: [row[name] for name in names]
        return take, [self.kinds[name][0] for name in names]

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> Rows:
        """The same, from columns of equal length."""
        names = self._checked(tuple(name for name in self.names if name in columns), columns)
        length = len(next(iter(columns.values()), ()))
        if any(len(values) != length for values in columns.values()):
            raise Refusal(422, "The columns must have the same number of values. Got several. Give every row a value.")
        kept = [columns[name] for name in names]
        return self.rows([dict(zip(names, values, strict=True)) for values in zip(*kept, strict=True)])

    def batch(self, parts: Iterable[Rows]) -> pa.RecordBatch:
        """Rows of several requests that may share a batch, as one Arrow batch.

        Raises: DataError for values that no Arrow type holds together.
        """
        parts = list(parts)
        names = parts[0].names
        columns = zip(*chain.from_iterable(part.values for part in parts), strict=True)
        arrays = []
        for name, values in zip(names, columns, strict=True):
            try:
                arrays.append(pa.array(values, self.kinds[name][1]))
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                problem = (str(error) or type(error).__name__).splitlines()[0]
                raise DataError(f"column '{name}' must hold values of one kind", problem, "Correct them") from error
        return pa.RecordBatch.from_arrays(arrays, names=list(names))

    def _columns_of(self, rows: Sequence[Any]) -> tuple[str, ...]:
        """The columns that every row must have: all, or before a cleaner those of the first row, if they suffice."""
        if not rows:
            return self.names
        first = rows[0]
        if type(first) is not dict:
            raise Refusal(422, f'row 1 must be an object of columns. Got {_kind(first)}. Write {{"column": value}}.')
        if self.extra == "error":
            for place, row in enumerate(rows):
                for name in row:
                    if name not in self._allowed:
                        do = nearest(name, self.names)
                        raise Refusal(422, f"row {place + 1} must have known columns only. Got '{name[:80]}'. {do}")
        if self._every <= first.keys():
            return self.names
        return self._checked(tuple(name for name in self.names if name in first), first)

    def _checked(self, present: tuple[str, ...], given: Mapping[str, Any]) -> tuple[str, ...]:
        if present == self.names:
            return present
        if present not in self._known:
            if lacking := self._lacking(present, given):
                raise Refusal(422, lacking)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known.add(present)
        return present

    def _lacking(self, present: tuple[str, ...], given: Mapping[str, Any]) -> str | None:
        """Why rows of these columns are not enough, None if they are: the cleaner says it, for it may make one of
        several."""
        empty = pa.RecordBatch.from_pydict({name: pa.array([], self.kinds[name][1] or pa.string()) for name in present})
        try:
            known = self.predictor.cleaner(empty).schema.names
        except DataError as error:
            return str(error)
        for name in self.predictor.fields.read:
            if name not in known:
                parts = [one for one in self.asked if one in self.texts and one not in present]
                name = parts[0] if name in self.made and parts else name
                wanted = [given_name for given_name in map(str, given) if given_name not in present]
                do = nearest(name, wanted) if wanted else f"The columns are {listed(self.asked)}"
                return f"The rows must have the column '{name}'. Got none of that name. {do.rstrip('.?')}."
        return None

    def _size(self, names: tuple[str, ...], values: list[tuple[Any, ...]]) -> int:
        """Characters of the longest row, or words; what tokens they make is known only once they are encoded."""
        places = [place for place, name in enumerate(names) if name in self._long]
        return max(
            (sum(len(row[place]) for place in places if type(row[place]) in (str, list)) for row in values), default=0
        )

    def _signature(self, names: tuple[str, ...], values: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        if self._is_typed:
            return names
        untyped = [place for place, name in enumerate(names) if self.kinds[name][1] is None]
        return (names, *(frozenset(type(row[place]) for row in values) - {type(None)} for place in untyped))

    def _refusal(self, row: Any, place: int, names: tuple[str, ...]) -> Refusal:
        """What is wrong with a row, found out again only for a row that is wrong."""
        where = f"row {place + 1}"
        if type(row) is not dict:
            return Refusal(422, f'{where} must be an object of columns. Got {_kind(row)}. Write {{"column": value}}.')
        for name in names:
            if name not in row:
                do = nearest(name, [other for other in row if other not in self.kinds])
                return Refusal(422, f"{where} must have the column '{name}'. Got none of that name. {do}")
            try:
                self.kinds[name][0](row[name])
            except DataError as problem:
                return Refusal(422, str(problem.at(f"{where}, column '{name}'")))
            except (TypeError, ValueError, OverflowError):
                return Refusal(
                    422, f"{where}, column '{name}' must be a plain value. Got {shown(row[name])}. Correct it."
                )
        return Refusal(422, f"{where} must be a row of plain values. Got something else. Correct it.")


def fields_by_column(predictor: Predictor) -> dict[str, Field]:
    """The field of each column; a column that inputs of several kinds read has none that could speak for it."""
    found: dict[str, Field] = {}
    several = set()
    for name, one in predictor.fields.inputs.items():
        column = predictor.fields.column(name)
        if column in found and found[column].kind != one.kind:
            several.add(column)
        found.setdefault(column, one)
    return {column: one for column, one in found.items() if column not in several}


def _kind(value: Any) -> str:
    names = {
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
        list: "a list",
        type(None): "null",
    }
    return names.get(type(value), "something else")


def _spelled(convert: Convert, spellings: frozenset[str]) -> Convert:
    """The same, but a text that spells a missing value is one."""
    is_text = convert is to_text

    def spelled(value: Any) -> Any:
        if type(value) is not str:
            return convert(value)
        if value.strip() in spellings:
            return None
        return value if is_text else convert(value)

    return spelled


def _wrong(rule: str, value: Any, do: str) -> DataError:
    return DataError(f"must be {rule}", _kind(value) if isinstance(value, list | dict) else shown(value), do)


def to_number(value: Any) -> float | None:
    """A number, true or false, or text that spells one, by the rule of number columns."""
    if type(value) is not float and type(value) is not int:
        if value is None:
            return None
        if type(value) is bool:
            return float(value)
        if type(value) is not str:
            raise _wrong("a number", value, "Write a number, or null if it is missing")
        try:
            found = float(as_numbers(pa.array([value], pa.string()))[0])
        except DataError as error:
            raise _wrong("a number", value, "Write a number, or null if it is missing") from error
        return None if found != found else found
    if -LARGEST <= value <= LARGEST:
        return float(value)
    if value != value:
        return None
    raise _wrong("a finite number below 3.4e38", value, "Write a smaller one")


def to_text(value: Any) -> str | None:
    """Text; of other single values, the text that stands for them in a table."""
    if type(value) is str or value is None:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if type(value) is float:
        found: str | None = as_text(pa.array([value], pa.float64()))[0].as_py()
        return found
    raise _wrong("text", value, "Write one value")


def to_file(value: Any) -> bytes:
    """A file's bytes: base64, as text, as a data: address or as {"b64": text}; never the name of a file."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str):
        value = value["b64"]
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise _wrong("a file's bytes in base64", value, "Encode the file")
    text = value.partition("base64,")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong("a file's bytes in base64", value, "Encode the file; names of files are not followed") from error


def to_numbers(value: Any) -> list[float | None] | None:
    """A list of numbers."""
    if value is None:
        return None
    if type(value) is str:
        return [to_number(part) for part in value.strip("[]() ").replace(",", " ").replace(";", " ").split()] or None
    if type(value) is not list:
        raise _wrong("a list of numbers", value, "Write [1, 2, 3]")
    return [to_number(part) for part in value]


def to_words(value: Any) -> list[str | None] | None:
    """A list of words, or a text whose words are parted by blanks."""
    if value is None:
        return None
    if type(value) is str:
        return list(as_words(pa.array([value]))[0])
    if type(value) is not list:
        raise _wrong("a list of words", value, 'Write ["one", "two"]')
    words = [to_text(part) for part in value]
    if not all(words):
        raise DataError("must hold words", "one that is missing or empty", "Write a word for each place of the list")
    return words


def to_any(value: Any) -> Any:
    """Whatever the operations on columns take: a single value, or a list of single values."""
    if isinstance(value, dict):
        return to_file(value)
    if isinstance(value, list) and any(isinstance(part, list | dict) for part in value):
        raise _wrong("a plain value", value, "Write a number, a text, or a list of them")
    return value


KINDS: dict[str, tuple[Convert, pa.DataType | None]] = {
    "number": (to_number, pa.float64()),
    "category": (to_text, pa.string()),
    "binary": (to_text, pa.string()),
    "text": (to_text, pa.string()),
    "words": (to_words, pa.list_(pa.string())),
    "image": (to_file, pa.binary()),
    "audio": (to_file, pa.binary()),
    "vector": (to_numbers, pa.list_(pa.float64())),
    "any": (to_any, None),
}
"""Kind of a field → how one value is brought to its one type, and that type; dates and sets are read by their field."""
