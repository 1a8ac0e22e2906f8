"""Answers: a model's outputs → what a person reads.
Takes       logits, as arrays.                Gives   probabilities or values, and named Arrow columns.
May touch   base, numpy, Arrow.               Never   torch, fields, models, files.
To add one  write answers/<kind>.py with a frozen dataclass, add one line to ANSWERS below."""

from collections.abc import Mapping
from typing import Any

from ceiba.answers.answer import Answer, sigmoid, softmax
from ceiba.answers.binary import BinaryAnswer
from ceiba.answers.classes import ClassesAnswer
from ceiba.answers.labels import LabelsAnswer
from ceiba.answers.number import NumberAnswer
from ceiba.answers.preference import PreferenceAnswer
from ceiba.answers.sequence import SequenceAnswer
from ceiba.answers.span import SpanAnswer
from ceiba.answers.tags import TagsAnswer
from ceiba.answers.text import TextAnswer
from ceiba.base.errors import BundleError, nearest

ANSWERS: dict[str, type[Answer]] = {
    "binary": BinaryAnswer,
    "classes": ClassesAnswer,
    "labels": LabelsAnswer,
    "number": NumberAnswer,
    "preference": PreferenceAnswer,
    "sequence": SequenceAnswer,
    "span": SpanAnswer,
    "tags": TagsAnswer,
    "text": TextAnswer,
}


def load_answer(value: Mapping[str, Any]) -> Answer:
    """The answer that its JSON describes.

    Raises: BundleError for a kind that this version does not know, or for JSON that is no answer of its kind.
    """
    kind = str(value.get("kind"))
    if kind not in ANSWERS:
        raise BundleError("an answer must have a known kind", f"'{kind}'", nearest(kind, ANSWERS))
    return ANSWERS[kind].from_json(value)


__all__ = [
    "ANSWERS",
    "Answer",
    "BinaryAnswer",
    "ClassesAnswer",
    "LabelsAnswer",
    "NumberAnswer",
    "PreferenceAnswer",
    "SequenceAnswer",
    "SpanAnswer",
    "TagsAnswer",
    "TextAnswer",
    "load_answer",
    "sigmoid",
    "softmax",
]
