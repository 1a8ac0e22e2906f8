"""A tag for each word of a row."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.answers.answer import Answer

NO_WORD = -1e3
"""Where every tag's logit lies below it there is no word."""
OUTSIDE, BEGIN, INSIDE = "O", "B-", "I-"
ENTITY = pa.struct([("type", pa.string()), ("start", pa.int64()), ("end", pa.int64())])


@dataclass(frozen=True)
class TagsAnswer(Answer):
    """(row, word, label): one logit a label at each word, and a chain that weighs which label follows which.

    Labels B-X, I-X and O are entities of type X: a label I-X that goes on with nothing begins one, and is answered B-X.
    """

    kind: ClassVar[str] = "tags"

    labels: tuple[str, ...]
    chain: tuple[float, ...] = ()
    """The matrix of transitions row by row, the scores of the first label, those of the last; none: no chain."""

    @property
    def are_entities(self) -> bool:
        """Whether the labels tell where entities begin and go on."""
        return all(label == OUTSIDE or label.startswith((BEGIN, INSIDE)) for label in self.labels)

    def scores(self, logits: NDArray[Any]) -> NDArray[Any]:
        """The label chosen at each word, -1 where there is none: (row, word)."""
        wide = np.asarray(logits, dtype=np.float64)
        mask: NDArray[np.bool_] = np.asarray((wide > NO_WORD).any(axis=2))
        best = wide.argmax(axis=2) if not self.chain else viterbi(wide, mask, *self._chain())
        return np.where(mask, self._mended(best, mask), -1)

    def _chain(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        count, values = len(self.labels), np.array(self.chain)
        return values[: -2 * count].reshape(count, count), values[-2 * count : -count], values[-count:]

    def _mended(self, places: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Every I-X that goes on with nothing becomes B-X."""
        begins = np.array([_place(self.labels, BEGIN, label) for label in self.labels])
        types = np.array([sorted(set(map(_type, self.labels))).index(_type(label)) for label in self.labels])
        inside = np.array([label.startswith(INSIDE) for label in self.labels])
        outside = np.array([label == OUTSIDE for label in self.labels])
        before = np.concatenate([np.full((len(places), 1), -1), places[:, :-1]], axis=1) if places.size else places
        goes_on = (before >= 0) & ~outside[before] & (types[before] == types[places])
        mend = inside[places] & ~goes_on & (begins[places] >= 0) & mask
        return np.where(mend, begins[places], places)

    def columns(self, name: str, logits: NDArray[Any]) -> dict[str, pa.Array]:
        """The tags of each row, and its entities: type, first word, and the word after its last."""
        rows = [[self.labels[place] for place in row[row >= 0]] for row in self.scores(logits)]
        answer = {name: pa.array(rows, pa.list_(pa.string()))}
        if not self.are_entities:
            return answer
        return answer | {f"{name}_entities": pa.array([entities(row) for row in rows], pa.list_(ENTITY))}


def viterbi(
    emissions: NDArray[np.float64],
    mask: NDArray[np.bool_],
    transition: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The labels of the highest score, start + Σ emissions + Σ transitions + end, of each row: (row, word).

    δ_t[j] is the highest score of all ways that end in label j at word t: δ_t[j] = emission_t[j] + max_i (δ_{t-1}[i] +
    transition[i, j]); the way is found going back. Source: Viterbi 1967; Rabiner 1989, equations 32 to 35.
    """
    rows, words, labels = emissions.shape
    if not words:
        return np.zeros((rows, 0), dtype=np.int64)
    best = start + emissions[:, 0]
    came_from = np.zeros((words, rows, labels), dtype=np.int64)
    for word in range(1, words):
        ways = best[:, :, None] + transition
        goes_on = mask[:, word, None]
        came_from[word] = np.where(goes_on, ways.argmax(axis=1), np.arange(labels))
        best = np.where(goes_on, ways.max(axis=1) + emissions[:, word], best)
    chosen = np.empty((rows, words), dtype=np.int64)
    chosen[:, -1] = (best + end).argmax(axis=1)
    for word in range(words - 1, 0, -1):
        chosen[:, word - 1] = came_from[word][np.arange(rows), chosen[:, word]]
    return chosen


def entities(tags: list[str]) -> list[dict[str, Any]]:
    """The entities of one row of mended tags."""
    found: list[dict[str, Any]] = []
    for place, tag in enumerate(tags):
        if tag.startswith(INSIDE) and found and found[-1]["end"] == place and found[-1]["type"] == _type(tag):
            found[-1]["end"] = place + 1
        elif tag != OUTSIDE:
            found.append({"type": _type(tag), "start": place, "end": place + 1})
    return found


def _type(label: str) -> str:
    return label[len(BEGIN) :] if label.startswith((BEGIN, INSIDE)) else ""


def _place(labels: tuple[str, ...], prefix: str, label: str) -> int:
    wanted = prefix + _type(label)
    return labels.index(wanted) if wanted in labels else -1
