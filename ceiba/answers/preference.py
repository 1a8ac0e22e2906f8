"""Which of two answers is the more probable one."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer


@dataclass(frozen=True)
class PreferenceAnswer(Answer):
    """(row, 2): log p of the better and of the worse answer, in nats; zeros for a row without one."""

    kind: ClassVar[str] = "preference"

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """log p(better) - log p(worse): above 0 the better one is preferred."""
        better, worse = np.asarray(logits, dtype=np.float64).T
        found: NDArray[np.float64] = better - worse
        return found

    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        """Which one is preferred, and the logarithm of each one's probability."""
        better, worse = np.asarray(logits, dtype=np.float64).T
        chosen = np.where(better > worse, "chosen", "rejected").tolist()
        return {
            name: pa.array(chosen, pa.string()),
            f"{name}_chosen": pa.array(better),
            f"{name}_rejected": pa.array(worse),
        }
