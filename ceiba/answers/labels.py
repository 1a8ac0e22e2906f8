"""Any number of labels at once."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer, label_array, label_columns, sigmoid


@dataclass(frozen=True)
class LabelsAnswer(Answer):
    """One logit a label, each decided for itself; a row may have no label."""

    kind: ClassVar[str] = "labels"

    labels: tuple[str, ...]
    thresholds: tuple[float, ...] = ()

    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        return sigmoid(logits)

    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        probabilities = self.scores(logits)
        chosen = probabilities >= np.array(self.thresholds or (0.5,) * len(self.labels))
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(chosen.sum(axis=1))]).astype(np.int32)
        members = label_array(self.labels, np.nonzero(chosen)[1])
        answer = {name: pa.ListArray.from_arrays(pa.array(ends), members)}
        return label_columns(name, self.labels, probabilities, answer)
