"""The piece of a text that answers."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer

START, STOP, MARGIN = range(3)
"""What the logits of a row are."""


@dataclass(frozen=True)
class SpanAnswer(Answer):
    """(row, 3): where the best span begins and ends, in characters, and by how much it is better than no answer; below
    the threshold there is none. Source: Devlin et al. 2019, arXiv:1810.04805, section 4.3."""

    kind: ClassVar[str] = "span"

    source: str
    """The input that it quotes."""
    threshold: float = 0.0

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(logits, dtype=np.float64)

    def spans(self, logits: NDArray[Any]) -> NDArray[np.int64]:
        """(row, 2): begin and end of each answer, zeros where there is none."""
        ends = np.asarray(logits)[:, START : STOP + 1].astype(np.int64)
        return np.where((np.asarray(logits)[:, MARGIN] > self.threshold)[:, None], ends, 0)

    def quotes(self, logits: NDArray[Any], texts: list[str]) -> list[str | None]:
        """What each row answers with, None where its text holds no answer."""
        places = self.spans(logits).tolist()
        return [text[start:stop] if stop else None for text, (start, stop) in zip(texts, places, strict=True)]

    def columns(self, name: str, logits: NDArray[Any], texts: list[str] | None = None) -> dict[str, pa.Array]:
        """The answer as it stands in the text, its place, and by how much it is better than none, or worse."""
        spans = self.spans(logits)
        none = spans[:, 1] == 0
        quotes = [None] * len(spans) if texts is None else self.quotes(logits, texts)
        return {
            name: pa.array(quotes, pa.string()),
            f"{name}_start": pa.array(spans[:, 0], mask=none),
            f"{name}_end": pa.array(spans[:, 1], mask=none),
            f"{name}_score": pa.array(np.asarray(logits)[:, MARGIN].astype(np.float64) - self.threshold),
        }
