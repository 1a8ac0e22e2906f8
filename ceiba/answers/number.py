"""A number in the user's own unit."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer


@dataclass(frozen=True)
class NumberAnswer(Answer):
    """One standardized value a row: times the deviation, plus the mean, and out of its logarithm."""

    kind: ClassVar[str] = "number"

    mean: float
    std: float
    log: bool = False

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        values = np.asarray(logits, dtype=np.float64) * self.std + self.mean
        return np.sign(values) * np.expm1(np.abs(values)) if self.log else values

    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        return {name: pa.array(self.scores(logits))}
