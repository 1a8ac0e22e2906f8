"""What every field is: its encoded forms, its layouts, and the two steps fit → encode."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths: all values in a row, and where each row starts and ends."""

    values: Array
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray[np.int64]) -> "Ragged":
        """The chosen rows, in the order asked for."""
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        places = np.arange(offsets[-1]) + np.repeat(np.asarray(self.offsets)[rows] - offsets[:-1], lengths)
        return Ragged(np.asarray(self.values)[places], offsets)

    def pad(self, length: int | None = None, multiple: int = 1) -> Array:
        """Rows × the longest row (or `length`: longer rows are cut), filled with 0, at least one wide."""
        lengths = self.lengths
        width = max(1, int(lengths.max(initial=0))) if length is None else max(1, length)
        width = -(-width // multiple) * multiple
        result = np.zeros((len(self), width, *self.values.shape[1:]), dtype=self.values.dtype)
        kept = np.minimum(lengths, width if length is None else length)
        mask = np.arange(width) < kept[:, None]
        places = np.arange(int(kept.sum())) + np.repeat(self.offsets[:-1] - (np.cumsum(kept) - kept), kept)
        result[mask] = np.asarray(self.values)[places]
        return result


Encoded = dict[str, Array | Ragged]


@dataclass(frozen=True)
class TableLayout:
    """The table group: all its number columns side by side, then all its code columns.

    `edges` holds, for each number column, ascending bin edges in encoded units, the lowest and the highest value
    included; () is a column without bins.
    """

    kind: ClassVar[str] = "table"
    """The catalog of encoders that read it."""

    names: tuple[str, ...]
    num_numbers: int
    cardinalities: tuple[int, ...]
    edges: tuple[tuple[float, ...], ...]


TAUGHT = "taught"
"""The part of an output in which a training row carries what another model answers to it."""
TEACHER = "teacher"
"""The part that holds the true tokens of a text that is written, which only training has."""


TARGETS = "targets"
"""The part that holds the tokens that are to be told, of a text of which not all are."""
REFERENCE = "reference"
"""The part that holds what another model makes of a row, beside which this one is taught."""
FEATURES = "features"
"""The part that holds what an encoder that is not trained makes of a row, in place of what it reads."""
BESIDE = (TAUGHT, TEACHER, TARGETS, REFERENCE)
"""Parts that no encoder reads."""


@dataclass(frozen=True)
class TextLayout:
    """A text group: ids below `vocab`, 0 being padding, at most `max_tokens` of them; `weighted` ids carry weights."""

    kind: ClassVar[str] = "text"
    vocab: int
    max_tokens: int
    weighted: bool
    separator: int | None = None
    """The id that ends each text of a pair, where there is one."""
    places: bool = False
    """Whether it is told where each token stands in the text."""
    told: bool = False
    """Whether it says itself which of its tokens are to be told, as of a chat the answers."""


@dataclass(frozen=True)
class WordsLayout:
    """A group of words in a row: ids below `vocab`, and for each word ids of its characters; 0 is padding."""

    kind: ClassVar[str] = "words"
    vocab: int
    characters: int
    """Ids of characters."""
    max_characters: int


@dataclass(frozen=True)
class ImageLayout:
    """An image group: uint8 pixels (row, height, width, channel), their mean and deviation on the scale 0 to 255."""

    kind: ClassVar[str] = "image"
    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


Layout = TableLayout | TextLayout | WordsLayout | ImageLayout


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted, row by row beside a column: classes (negative = missing) or numbers (NaN = missing)."""

    values: Iterable[Array]
    is_class: bool


@dataclass(frozen=True)
class Field(ABC):
    """What was learnt about one column; a field cannot exist unfitted."""

    kind: ClassVar[str]

    @abstractmethod
    def encode(self, column: pa.Array) -> Encoded:
        """Arrow values → arrays, each row by itself: the same row gives the same bytes alone or among others.

        Raises: DataError for a value that is not of this kind.
        """

    def target(self, column: pa.Array) -> Array | Ragged:
        """Arrow values → what a loss compares with; a missing value is NaN, or a negative class.

        Raises: RecipeError if a column of this kind cannot be predicted.
        """
        raise RecipeError(
            "must be a kind that can be predicted", self.kind, "Use number, category, binary, set, tags or text"
        )

    def layout(self, name: str) -> Layout:
        """The shape of what `encode` gives, for whoever builds a model; `name` is the column's."""
        return TableLayout(
            names=tuple(f"{name}{part}" for part in self.number_parts()) + (name,) * len(self.cardinalities()),
            num_numbers=len(self.number_parts()),
            cardinalities=self.cardinalities(),
            edges=self.bin_edges(),
        )

    def number_parts(self) -> tuple[str, ...]:
        """What follows the column's name in the name of each of its number columns."""
        return ()

    def cardinalities(self) -> tuple[int, ...]:
        """How many codes each of its code columns has."""
        return ()

    def bin_edges(self) -> tuple[tuple[float, ...], ...]:
        """Bin edges of each number column; () for one without bins."""
        return ((),) * len(self.number_parts())

    def to_json(self) -> dict[str, Any]:
        """Everything learnt, as JSON; floats keep every bit."""
        return {"kind": self.kind, **{part.name: thawed(getattr(self, part.name)) for part in dataclasses.fields(self)}}

    def files(self) -> dict[str, bytes]:
        """What is too large or too foreign for JSON, by file name."""
        return {}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """The field that `to_json` and `files` describe."""
        return cls(**{name: frozen(part) for name, part in value.items() if name != "kind"})


class FieldSpec(Spec):
    """How one column is to be encoded; `fit` learns the rest from training rows."""

    field_class: ClassVar[type[Field]]

    type: str
    """The kind of the column."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> Field:
        """Learn a field from a stream of training rows, in memory that does not grow with rows.

        Raises: DataError for a value that is not of this kind, or if no row holds a value.
        """
        raise NotImplementedError


def frozen(value: Any) -> Any:
    """JSON's lists → tuples, at any depth."""
    return tuple(frozen(part) for part in value) if isinstance(value, list) else value


def thawed(value: Any) -> Any:
    """Tuples → the lists that JSON has, at any depth."""
    return [thawed(part) for part in value] if isinstance(value, tuple) else value
