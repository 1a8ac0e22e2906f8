"""One of several labels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer, label_array, label_columns, softmax


@dataclass(frozen=True)
class ClassesAnswer(Answer):
    """One logit a label; the most probable label is chosen, the first of equals."""

    kind: ClassVar[str] = "classes"

    labels: tuple[str, ...]

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        return softmax(logits)

    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        probabilities = self.scores(logits)
        chosen = np.asarray(logits).argmax(axis=1)
        answer = {
            name: label_array(self.labels, chosen),
            f"{name}_probability": pa.array(probabilities[np.arange(len(chosen)), chosen]),
        }
        return label_columns(name, self.labels, probabilities, answer)
