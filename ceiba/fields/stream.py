"""A column of texts as one stream of tokens, and the stream as windows that a network can take."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.fields.columns import as_text
from ceiba.fields.field import Array
from ceiba.fields.tokens import TokenField

CHUNK_CHARACTERS = 1 << 16
"""Characters of a text in lines that are tokenized at a time; a token never crosses from one chunk to the next."""
LINE_END = "\n"


@dataclass(frozen=True, eq=False)
class Windows:
    """A stream of tokens as rows of one width: window w holds the tokens from w · width + start on.

    Past the end of the stream stand zeros. A row of targets begins one token later than its row of inputs.
    """

    tokens: Array
    width: int
    count: int
    start: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no window reaches past the end."""
        return self.start + self.count * self.width <= len(self.tokens)

    @property
    def room(self) -> int:
        """By how many tokens all windows may move on before one reaches past the end."""
        return max(0, len(self.tokens) - self.start - self.count * self.width)

    def moved(self, by: int) -> "Windows":
        """The windows that begin so many tokens later."""
        return replace(self, start=self.start + by)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        places = (np.asarray(rows) * self.width + self.start)[:, None] + np.arange(self.width)
        if self.is_full:
            full: NDArray[np.int32] = self.tokens[places].astype(np.int32)
            return full
        inside = places < len(self.tokens)
        return np.where(inside, self.tokens[np.where(inside, places, 0)], 0).astype(np.int32)


def joined(column: Iterable[pa.Array]) -> Iterator[pa.Array]:
    """The lines of one text, joined again by their ends, chunk by chunk, however they are cut into arrays."""
    held: list[str] = []
    size = 0
    for chunk in column:
        for line in pc.fill_null(as_text(chunk), "").to_pylist():
            held.append(line)
            size += len(line) + 1
            if size >= CHUNK_CHARACTERS:
                yield pa.array([LINE_END.join(held) + LINE_END])
                held, size = [], 0
    if held:
        yield pa.array([LINE_END.join(held) + LINE_END])


def stream(field: TokenField, column: Iterable[pa.Array], lines: bool) -> Iterator[tuple[NDArray[np.int32], int]]:
    """(tokens, bytes of UTF-8 they stand for), chunk by chunk: the lines of one text, or texts one after another, each
    behind the token that ends a text, where the tokenizer has one."""
    for chunk in joined(column) if lines else column:
        rows = field.whole_rows(chunk, framed=not lines)
        yield np.concatenate([np.zeros(0, np.int32), *rows]), int(field.num_bytes(chunk).sum())
    if not lines and "end" in field.special:
        yield np.array([field.special["end"]], dtype=np.int32), 0


def measured_rows(field: TokenField, column: Iterable[pa.Array], lines: bool) -> Iterator[list[NDArray[np.int32]]]:
    """The rows of tokens on which a language model is measured, some at a time: each text, or windows on the lines of
    one text, each of which begins with the last token of the one before it."""
    if not lines:
        yield from (field.whole_rows(chunk) for chunk in column)
        return
    rest, width = np.zeros(0, np.int32), field.max_tokens
    for ids, _ in stream(field, column, lines):
        rest = np.concatenate([rest, ids])
        full = max(len(rest) - 1, 0) // width
        yield [rest[place * width : (place + 1) * width + 1] for place in range(full)]
        rest = rest[full * width :]
    if len(rest) > 1:
        yield [rest]
