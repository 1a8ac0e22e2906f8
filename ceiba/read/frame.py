"""Frame: a re-readable stream of Arrow record batches; the one form of a table inside Ceiba."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError, nearest
from ceiba.base.positions import Marked

MASK_SHARE = 0.25
"""Share of a batch's rows from which choosing them by a mask is quicker than by their places."""

Source = Callable[[tuple[str, ...] | None], Iterator[pa.RecordBatch]]
"""Gives the batches anew at each call: all columns for None, else the named ones in that order."""


@dataclass(frozen=True)
class Column(Iterable[pa.Array]):
    """One column as a re-iterable stream of Arrow arrays."""

    frame: "Frame"
    name: str
    coded: bool = False
    """Whether text may come as dictionaries."""

    @property
    def type(self) -> pa.DataType:
        """The Arrow type of every array of the column; with `coded`, text may be a dictionary of that type."""
        return self.frame.schema.field(self.name).type

    def __iter__(self) -> Iterator[pa.Array]:
        for batch in self.frame.batches((self.name,), self.coded):
            yield batch.column(0)

    def __len__(self) -> int:
        return self.frame.num_rows


@dataclass(frozen=True)
class Frame:
    """A table that is read in batches, as often as needed; rows may exceed memory."""

    schema: pa.Schema
    """Names and Arrow types of the columns, settled over all rows."""
    origin: str
    """Where it came from, for messages."""
    identity: str
    """Hexadecimal hash of the content and of what was done to it; equal across runs."""
    num_rows: int
    """Number of rows."""
    source: Source
    """The batches; a text column may come as a dictionary, if the reader found that its values repeat."""
    notes: tuple[str, ...] = ()
    """What the reader found or decided and the user should know."""

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(self.schema.names)

    def batches(self, columns: Sequence[str] | None = None, coded: bool = False) -> Iterator[pa.RecordBatch]:
        """The record batches, of all columns or of the named ones in that order.

        With `coded`, text whose values repeat may come as a dictionary: whoever looks at each value once saves much.

        Raises: DataError for an unknown column.
        """
        found = self.source(None if columns is None else self._known(columns))
        return found if coded else map(decoded, found)

    def column(self, name: str, coded: bool = False) -> Column:
        """One column; `coded` as in `batches`.

        Raises: DataError for an unknown column.
        """
        self._known((name,))
        return Column(self, name, coded)

    def select(self, names: Sequence[str]) -> "Frame":
        """The same rows with only these columns, in this order.

        Raises: DataError for an unknown column.
        """
        kept = self._known(names)
        schema = pa.schema([self.schema.field(name) for name in kept])
        return replace(
            self,
            schema=schema,
            identity=derived(self.identity, "select", *kept),
            source=lambda columns: self.source(kept if columns is None else columns),
        )

    def take(self, rows: NDArray[np.int64]) -> "Frame":
        """Only these rows, given by their positions in rising order."""
        marked = Marked.of(rows, self.num_rows)
        return replace(
            self,
            identity=derived(self.identity, "take", hashlib.sha256(marked.bits.data).hexdigest()),
            num_rows=len(rows),
            source=_Taken(self.source, marked, len(rows)),
        )

    def map(self, name: str, change: Callable[[pa.RecordBatch], pa.RecordBatch], schema: pa.Schema) -> "Frame":
        """Each batch changed by a function that keeps its number of rows; `name` tells it apart in the identity.

        The change always sees all columns, since it may need any of them.
        """

        def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
            for batch in self.batches():
                changed = change(batch)
                yield changed if columns is None else changed.select(list(columns))

        return replace(self, schema=schema, identity=derived(self.identity, "map", name), source=source)

    def head(self, rows: int) -> pa.Table:
        """The first rows, at most `rows`, as one table; reads no further than needed."""
        found, kept = 0, []
        for batch in self.batches() if rows > 0 else ():
            kept.append(batch.slice(0, rows - found))
            found += kept[-1].num_rows
            if found >= rows:
                break
        return pa.Table.from_batches(kept, self.schema)

    def to_table(self) -> pa.Table:
        """All rows as one table in memory."""
        return pa.Table.from_batches(list(self.batches()), self.schema)

    def noted(self, *notes: str) -> "Frame":
        """The same frame with more notes."""
        return replace(self, notes=self.notes + notes)

    def _known(self, names: Sequence[str]) -> tuple[str, ...]:
        for name in names:
            if name not in self.schema.names:
                raise DataError(
                    f"{self.origin} must have the column '{name}'", "none of that name", nearest(name, self.names)
                )
        return tuple(names)


def decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with its dictionaries written out as plain columns."""
    if not any(pa.types.is_dictionary(kind) for kind in batch.schema.types):
        return batch
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    schema = pa.schema([decoded_field(field) for field in batch.schema], batch.schema.metadata)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def decoded_field(field: pa.Field) -> pa.Field:
    """A field with the type of its dictionary's values."""
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def derived(identity: str, *steps: str) -> str:
    """The identity of content after steps that are named here."""
    return hashlib.sha256("\x1f".join((identity, *steps)).encode()).hexdigest()


@dataclass(frozen=True)
class _Taken:
    """Some rows of a source, by whichever of Arrow's ways is quickest for a batch: a view, a mask or their places."""

    source: Source
    marked: Marked
    count: int

    def __call__(self, columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        start, left = 0, self.count
        for batch in self.source(columns):
            chosen = self.marked.between(start, start + batch.num_rows)
            rows = np.flatnonzero(chosen)
            if len(rows):
                yield self._chosen(batch, chosen, rows)
            start, left = start + batch.num_rows, left - len(rows)
            if not left:
                return

    def _chosen(self, batch: pa.RecordBatch, chosen: NDArray[np.bool_], rows: NDArray[np.int64]) -> pa.RecordBatch:
        if len(rows) == rows[-1] - rows[0] + 1:
            return batch.slice(int(rows[0]), len(rows))
        if len(rows) < MASK_SHARE * batch.num_rows:
            return batch.take(pa.array(rows))
        mask = pa.array(chosen)
        return pa.RecordBatch.from_arrays([column.filter(mask) for column in batch.columns], schema=batch.schema)
