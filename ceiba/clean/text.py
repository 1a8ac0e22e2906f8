"""Operations on text."""

import json
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ceiba.base.errors import DataError, nearest
from ceiba.clean.spec import CleanSpec, Names, set_column


def as_string(column: pa.Array, operation: str, name: str) -> pa.Array:
    if pa.types.is_string(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.string())
    raise DataError(f"clean.{operation} needs a column of text, '{name}'", str(column.type), "Leave this column out")


class StripSpec(CleanSpec):
    """Blanks at both ends of text removed; text that is nothing else becomes missing."""

    type: Literal["strip"] = "strip"
    columns: Names | None = None
    """The columns; all columns of text when left out."""

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for field in batch.schema:
            if field.name in self.columns if self.columns is not None else pa.types.is_string(field.type):
                batch = set_column(batch, field.name, self.change(batch.column(field.name), field.name))
        return batch

    def change(self, column: pa.Array, name: str) -> pa.Array:
        stripped = pc.utf8_trim_whitespace(as_string(column, self.type, name))
        return pc.if_else(pc.equal(stripped, ""), pa.scalar(None, pa.string()), stripped)


class LowerSpec(CleanSpec):
    """Text in lower case."""

    type: Literal["lower"] = "lower"
    columns: Names
    """The columns."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        return pc.utf8_lower(as_string(column, self.type, name))


class StripSuffixSpec(CleanSpec):
    """An ending removed where text has it."""

    type: Literal["strip_suffix"] = "strip_suffix"
    columns: dict[str, str]
    """Column → ending."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        ending, text = self.columns[name], as_string(column, self.type, name)
        if not ending:
            return text
        return pc.if_else(pc.ends_with(text, ending), pc.utf8_slice_codeunits(text, 0, -len(ending)), text)


class JoinSpec(CleanSpec):
    """Columns of text joined into one by a blank; missing parts are left out.

    A table that has the result already may lack the parts.
    """

    type: Literal["join"] = "join"
    columns: dict[str, tuple[str, ...]]
    """New column → the columns it is made of."""

    def before(self, names: frozenset[str]) -> frozenset[str]:
        return names | {part for new, parts in self.columns.items() if new in names for part in parts}

    def check(self, schema: pa.Schema, origin: str) -> None:
        for new, parts in self.columns.items():
            for part in parts:
                if part not in schema.names and new not in schema.names:
                    raise DataError(
                        f"clean.{self.type} must name a column of {origin}", f"'{part}'", nearest(part, schema.names)
                    )

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for new, parts in self.columns.items():
            if all(part in batch.schema.names for part in parts):
                batch = set_column(batch, new, self.made([batch.column(part).cast(pa.string()) for part in parts]))
        return batch

    def made(self, texts: list[pa.Array]) -> pa.Array:
        """The new column."""
        # pyarrow 26's own null_handling="skip" forgets a row whose parts are all missing
        joined = texts[0]
        for text in texts[1:]:
            joined = pc.coalesce(pc.binary_join_element_wise(joined, text, " "), joined, text)
        return joined


class ChatSpec(JoinSpec):
    """A prompt and its answer side by side in one column, for an output of chats; or a prompt, the answer that is
    preferred and the one that is not. Each part is a text, or a list of messages. A missing one is empty.

    A table that has the result already may lack the parts.
    """

    type: Literal["chat"] = "chat"  # type: ignore[assignment]
    columns: dict[str, tuple[str, str] | tuple[str, str, str]]  # type: ignore[assignment]
    """New column → the columns of prompt and answer, or of prompt, better and worse answer."""

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for part in {part for parts in self.columns.values() for part in parts} & set(batch.schema.names):
            column = batch.column(part)
            if pa.types.is_nested(column.type):  # messages: a column of texts and of lists must come out alike
                spelled = [None if row is None else json.dumps(row, ensure_ascii=False) for row in column.to_pylist()]
                batch = set_column(batch, part, pa.array(spelled, pa.string()))
        return super().apply(batch)

    def made(self, texts: list[pa.Array]) -> pa.Array:
        return side_by_side(texts)


class PairSpec(JoinSpec):
    """Two columns of text side by side in one, for an input that reads them together: two sentences, a question and a
    passage. A missing one is empty.

    A table that has the result already may lack the parts.
    """

    type: Literal["pair"] = "pair"  # type: ignore[assignment]
    columns: dict[str, tuple[str, str]]  # type: ignore[assignment]
    """New column → the two columns it is made of."""

    def made(self, texts: list[pa.Array]) -> pa.Array:
        return side_by_side(texts)


def side_by_side(texts: list[pa.Array]) -> pa.Array:
    """Columns of texts as one of lists with a text of each; a missing one is empty."""
    count, rows = len(texts), len(texts[0])
    order = pa.array(np.arange(count * rows).reshape(count, rows).T.ravel())
    offsets = pa.array(np.arange(0, count * rows + 1, count, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.concat_arrays([pc.fill_null(text, "") for text in texts]).take(order))
