"""What every answer is, and the two functions that turn logits into probabilities."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import BundleError

MOST_PROBABILITY_COLUMNS = 20


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), without overflow at either end."""
    small = np.exp(-np.abs(np.asarray(logits, dtype=np.float64)))
    upper: NDArray[np.float64] = np.where(np.asarray(logits) >= 0, 1.0, small)
    lower: NDArray[np.float64] = 1.0 + small
    return upper / lower


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities over the last axis, without overflow; the largest logit is taken off first."""
    wide = np.asarray(logits, dtype=np.float64)
    powers: NDArray[np.float64] = np.exp(wide - wide.max(axis=-1, keepdims=True, initial=-np.inf))
    total: NDArray[np.float64] = powers.sum(axis=-1, keepdims=True)
    return powers / total


@dataclass(frozen=True)
class Answer(ABC):
    """How one output's logits are read."""

    kind: ClassVar[str]

    @abstractmethod
    def scores(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Logits → probabilities, or values in the user's units."""

    @abstractmethod
    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        """Logits → the columns a person reads, the answer itself first, under the output's own name."""

    def to_json(self) -> dict[str, Any]:
        """Everything known, as JSON; floats keep every bit."""
        return {"kind": self.kind, **{part.name: _json(getattr(self, part.name)) for part in dataclasses.fields(self)}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The answer that `to_json` describes.

        Raises: BundleError for JSON that is no answer of this kind.
        """
        parts = {
            name: tuple(part) if isinstance(part, list) else part for name, part in value.items() if name != "kind"
        }
        try:
            return cls(**parts)
        except TypeError as error:
            raise BundleError(
                f"an answer must be a {cls.kind} answer as Ceiba writes it", str(error), "Use an undamaged copy"
            ) from error


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def label_columns(
    name: str, labels: tuple[str, ...], probabilities: NDArray[np.float64], answer: dict[str, pa.Array]
) -> dict[str, pa.Array]:
    """The answer's columns, then one of probabilities a label where the labels are few enough to be read.

    A label whose column would take the name of one that is there has none.
    """
    if len(labels) > MOST_PROBABILITY_COLUMNS:
        return answer
    each = {f"{name}_{label}": pa.array(probabilities[:, place]) for place, label in enumerate(labels)}
    return answer | {column: values for column, values in each.items() if column not in answer}


def label_array(labels: tuple[str, ...], places: NDArray[np.int64]) -> pa.Array:
    """Places → labels."""
    return pa.array(labels, pa.string()).take(pa.array(places, pa.int64()))
