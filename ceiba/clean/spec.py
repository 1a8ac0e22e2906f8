"""What every operation is."""

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BeforeValidator

from ceiba.base.errors import DataError, nearest
from ceiba.base.spec import Spec


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]


class CleanSpec(Spec):
    """One operation. In a recipe: its bare name, or `{name: columns}`."""

    type: str

    def named(self) -> tuple[str, ...]:
        """The columns it must find; empty where it acts on whatever fits."""
        columns: Any = getattr(self, "columns", None)
        return tuple(columns) if columns else ()

    def before(self, names: frozenset[str]) -> frozenset[str]:
        """The columns it must see so that these come out right."""
        return names

    def check(self, schema: pa.Schema, origin: str) -> None:
        """Raises: DataError for a column that the operation names and the table lacks."""
        for name in self.named():
            if name not in schema.names:
                raise DataError(
                    f"clean.{self.type} must name a column of {origin}", f"'{name}'", nearest(name, schema.names)
                )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with columns changed; a named column that is absent is passed over."""
        for name in self.named():
            if name in batch.schema.names:
                batch = set_column(batch, name, self.change(batch.column(name), name))
        return batch

    def change(self, column: pa.Array, name: str) -> pa.Array:
        """One column, changed."""
        raise NotImplementedError


class RowSpec(CleanSpec):
    """An operation that chooses rows and leaves the columns as they are."""

    def kept(self, batches: Iterable[pa.RecordBatch]) -> NDArray[np.int64]:
        """The positions of the rows that stay, from batches of the columns that it looks at."""
        raise NotImplementedError


def set_column(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    if name not in batch.schema.names:
        return batch.append_column(name, column)
    place = batch.schema.get_field_index(name)
    return batch.set_column(place, pa.field(name, column.type, metadata=batch.schema.field(name).metadata), column)
