"""One of two labels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer, label_array, label_columns, sigmoid


@dataclass(frozen=True)
class BinaryAnswer(Answer):
    """One logit a row, of the second label; that label is chosen where its probability reaches the threshold."""

    kind: ClassVar[str] = "binary"

    labels: tuple[str, ...]
    threshold: float = 0.5

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        return sigmoid(logits)

    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        second = self.scores(logits)
        chosen = (second >= self.threshold).astype(np.int64)
        both = np.stack([1.0 - second, second], axis=1)
        probability = both[np.arange(len(both)), chosen]
        answer = {name: label_array(self.labels, chosen), f"{name}_probability": pa.array(probability)}
        return label_columns(name, self.labels, both, answer)
