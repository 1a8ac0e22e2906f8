"""A text that was written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer

SCORE = 0
"""Where a row holds its score; what follows are the ids of its tokens."""
Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class SequenceAnswer(Answer):
    """(row, 1 + token): log p / length penalty of the text that was found, and its token ids, 0 after its end."""

    kind: ClassVar[str] = "sequence"

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(logits, dtype=np.float64)[:, SCORE]

    def texts(self, logits: NDArray[Any], decode: Decode) -> list[str]:
        """The text of each row."""
        rows = np.asarray(logits)[:, SCORE + 1 :].astype(np.int64)
        return [decode(row[row > 0].tolist()) for row in rows]

    def columns(self, name: str, logits: NDArray[Any], decode: Decode | None = None) -> dict[str, pa.Array]:
        """The text, and its score: the greater, the surer."""
        texts = [None] * len(logits) if decode is None else self.texts(logits, decode)
        return {name: pa.array(texts, pa.string()), f"{name}_score": pa.array(self.scores(logits))}
