"""Tags beside the truth, and a tagger that only looks words up."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.answers.tags import OUTSIDE
from ceiba.evaluate.said import NOTHING, as_said
from ceiba.fields import Field, Fields, Ragged
from ceiba.fields.lists import as_words
from ceiba.fields.words import plain
from ceiba.metrics import tag_counts
from ceiba.read import Frame

Array = NDArray[Any]


def _padded(field: Field, frame: Frame, name: str, width: int) -> Array:
    """(row, word): the place of each tag among the labels, -1 where there is none."""
    parts = [field.target(chunk) for chunk in frame.column(name)]
    rows = [part.pad(width) for part in parts if isinstance(part, Ragged)]
    return np.concatenate([np.zeros((0, width), np.int64), *rows]) - 1


def tag_truth(frame: Frame, name: str, fields: Fields, answered: Array) -> tuple[Array, Array, Array]:
    """The counts of each row by which tags are measured, of the truth and of (row, word) answers; and the words that
    have another tag than O, each with its tag, as answered and in truth."""
    field, words = fields.outputs[name], fields.column(_words(fields))
    labels, places = getattr(field, "labels", ()), _padded(field, frame, name, answered.shape[1])
    rows = [
        flat[offsets[row] : offsets[row + 1]]
        for flat, offsets in map(as_words, frame.column(words))
        for row in range(len(offsets) - 1)
    ]

    def told(one: list[str], tags: list[int]) -> str:
        named = [(word, labels[place]) for word, place in zip(one, tags, strict=False) if place >= 0]
        return ", ".join(f"{word} {tag}" for word, tag in named if tag != OUTSIDE) or NOTHING

    answers = [told(one, tags) for one, tags in zip(rows, answered.tolist(), strict=True)]
    known = np.asarray((places >= 0).any(axis=1))
    truths = [told(one, tags) if there else None for one, tags, there in zip(rows, places.tolist(), known, strict=True)]
    return *tag_counts(places, answered, labels), as_said(answers, truths)


def _words(fields: Fields) -> str:
    """The input whose words are tagged."""
    return next(name for name, one in fields.inputs.items() if one.kind == "words")


@dataclass(frozen=True)
class TagBaselines:
    """The most frequent tag, and the most frequent tag of each word, counted in the training rows."""

    fields: Fields
    words: str
    """The input."""
    most: Mapping[str, int]
    """Output → its most frequent label."""
    of_word: Mapping[str, Mapping[str, int]]
    """Output → word → its most frequent label."""
    notes: tuple[str, ...] = ()

    def scores(self, frame: Frame) -> dict[str, dict[str, Array]]:
        """{"constant" | "quick": {output: counts of every row}}."""
        parts = [as_words(chunk) for chunk in frame.column(self.fields.column(self.words))]
        found: dict[str, dict[str, Array]] = {"constant": {}, "quick": {}}
        for name, most in self.most.items():
            known = self.of_word[name]
            rows = []
            for words, offsets in parts:
                places = [known.get(plain(word), most) for word in words]
                rows.append(Ragged(np.array(places, dtype=np.int64) + 1, offsets))
            width = max([1, *(int(part.lengths.max(initial=0)) for part in rows)])
            quick = np.concatenate([np.zeros((0, width), np.int64), *(part.pad(width) for part in rows)]) - 1
            field = self.fields.outputs[name]
            truth, labels = _padded(field, frame, name, width), getattr(field, "labels", ())
            found["quick"][name] = tag_counts(truth, quick, labels)[1]
            found["constant"][name] = tag_counts(truth, np.where(quick >= 0, most, -1), labels)[1]
        return found

    def about(self) -> dict[str, dict[str, Any]]:
        """{output: {"constant" | "quick": what it is}}."""
        table = {}
        for name, most in self.most.items():
            label = getattr(self.fields.outputs[name], "labels", ())[most]
            quick = f"each word's most frequent tag ({len(self.of_word[name]):,} words)"
            table[name] = {"constant": {"model": f"always {label}"}, "quick": {"model": quick}}
        return table


def fit_tag_baselines(train: Frame, fields: Fields) -> TagBaselines:
    """Count the tags of each word in the training rows."""
    words = fields.column(_words(fields))
    most, of_word = {}, {}
    for name, field in fields.outputs.items():
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        total: Counter[int] = Counter()
        for batch in train.batches((fields.column(words), name)):
            tags = field.target(batch.column(1))
            assert isinstance(tags, Ragged)
            for word, tag in zip(as_words(batch.column(0))[0], tags.values.tolist(), strict=True):
                if tag:
                    counts[plain(word)][tag - 1] += 1
                    total[tag - 1] += 1
        most[name] = total.most_common(1)[0][0]
        of_word[name] = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    return TagBaselines(fields, words, most, of_word)
