"""How probable a text is."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer


@dataclass(frozen=True)
class TextAnswer(Answer):
    """(row, 2): the surprise at a text, -Σ log p in nats, and how many tokens were predicted."""

    kind: ClassVar[str] = "text"

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Mean surprise a token; of a text without a token that is predicted, none."""
        nats, tokens = np.asarray(logits, dtype=np.float64).T
        found: NDArray[np.float64] = nats / np.maximum(tokens, 1)
        return found

    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        """The logarithm of each text's probability, its tokens, and its perplexity."""
        nats, tokens = np.asarray(logits, dtype=np.float64).T
        return {
            name: pa.array(-nats),
            f"{name}_tokens": pa.array(tokens.astype(np.int64)),
            f"{name}_perplexity": pa.array(np.exp(self.scores(logits))),
        }
