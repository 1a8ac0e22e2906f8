"""Arrays of a language model: the texts of a column as one stream of tokens, packed once and seen as windows."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields import Fields, TokenField, Windows, stream
from ceiba.read import Frame, are_lines
from ceiba.read.cache import built_once

TOKENS = "tokens"
FEW_WINDOWS = 8
"""From so many windows on, one is given up, so that each epoch may cut the stream at other places."""


def pack_stream(frame: Frame, name: str, field: TokenField, entry: Path) -> NDArray[Any]:
    """The tokens of a column, memory-mapped from the cache.

    Raises: DataError for a column that holds too little text to learn from.
    """
    dtype = np.dtype("<u2" if field.vocab <= 1 << 16 else "<u4")

    def build(folder: Path) -> None:
        with (folder / TOKENS).open("wb") as file:
            for ids, _ in stream(field, frame.column(name), are_lines(frame, name)):
                ids.astype(dtype).tofile(file)

    path = built_once(entry, build) / TOKENS
    count = path.stat().st_size // dtype.itemsize
    if count < 2:
        raise DataError(
            f"{frame.origin} column '{name}' must hold text to learn from", f"{count} tokens", "Use more text"
        )
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def windows_of(tokens: NDArray[Any], width: int, whole: bool) -> Windows:
    """The stream in windows: all of it, the last window filled up with zeros; or as many full ones as leave room to
    begin anywhere."""
    predicted = len(tokens) - 1
    if whole:
        return Windows(tokens, width, -(-predicted // width))
    full = predicted // width
    return Windows(tokens, width, max(1, full - (full >= FEW_WINDOWS)))


def language_of(fields: Fields) -> str | None:
    """The input that is read whole, since it is its own target."""
    return next((name for name, one in fields.inputs.items() if isinstance(one, TokenField) and one.whole), None)
