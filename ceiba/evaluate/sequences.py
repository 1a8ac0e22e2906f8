"""Texts that were written beside the true ones, and the baseline that repeats what it was given."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.answers import SequenceAnswer
from ceiba.base.optional import require
from ceiba.evaluate.inputs import as_texts
from ceiba.evaluate.said import as_said
from ceiba.fields import Fields, TokenField
from ceiba.metrics import chrf_counts, rouge_l
from ceiba.read import Frame

Array = NDArray[Any]
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
LOOKED_AT = 200
"""Texts that tell whether most have several sentences."""


def true_texts(frame: Frame, name: str) -> list[str | None]:
    """The true texts; None where there is none."""
    return [text for column in frame.column(name) for text in column.to_pylist()]


def row_counts(answers: list[str], truths: list[str | None]) -> Array:
    """What BLEU, chrF and ROUGE-L count in each row; zeros where no text is known.

    Words are those of BLEU's standard tokenizer, 13a, of cased texts. Source: Post 2018, arXiv:1804.08771.
    """
    module = require("sacrebleu", "translation", "measure texts that are written")
    metric = module.BLEU(effective_order=True)
    cut = require("sacrebleu.tokenizers.tokenizer_13a", "translation", "measure texts").Tokenizer13a()
    rows = []
    for answer, truth in zip(answers, truths, strict=True):
        there = truth or ""
        one = metric.sentence_score(answer, [there])
        counts = [one.sys_len, one.ref_len, *one.counts, *one.totals, *chrf_counts(answer, there)]
        rows.append([*counts, rouge_l(cut(answer).split(), cut(there).split())])
    found = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    found[[truth is None for truth in truths]] = 0
    return found


def sequence_truth(
    frame: Frame, name: str, answer: SequenceAnswer, fields: Fields, logits: Array
) -> tuple[Array, Array, Array]:
    """Of each row: 1, NaN where no text is known; its counts; and the two texts."""
    field = fields.outputs[name]
    assert isinstance(field, TokenField)
    truths = true_texts(frame, name)
    known = np.array([np.nan if truth is None else 1.0 for truth in truths])
    answers = answer.texts(logits, field.decode)
    return known, row_counts(answers, truths), as_said(answers, truths)


def first_sentence(text: str) -> str:
    """A text up to its first mark that ends a sentence before a blank, or whole where there is none."""
    return SENTENCE_END.split(text.strip(), maxsplit=1)[0]


@dataclass(frozen=True)
class SequenceBaselines:
    """The first text among the inputs, as it stands; and, of longer ones, its first sentence, which tells most of what
    a news item or an abstract says. Source: Nallapati et al. 2017, arXiv:1611.04230, section 4.4 (Lead)."""

    names: tuple[str, ...]
    source: str
    """The column that is repeated."""
    leads: bool = False
    """Whether its texts have several sentences."""
    notes: tuple[str, ...] = ()

    def scores(self, frame: Frame) -> dict[str, dict[str, Array]]:
        """{"constant" | "quick": {output: counts of every row}}."""
        given = [text for column in frame.column(self.source) for text in as_texts(column)]
        texts = {"constant": given, **({"quick": [first_sentence(text) for text in given]} if self.leads else {})}
        return {
            kind: {name: row_counts(one, true_texts(frame, name)) for name in self.names} for kind, one in texts.items()
        }

    def about(self) -> Mapping[str, Mapping[str, Any]]:
        """{output: {"constant" | "quick": what it is}}."""
        told = {"constant": {"model": f"'{self.source}' as it stands"}}
        if self.leads:
            told["quick"] = {"model": f"the first sentence of '{self.source}'"}
        return dict.fromkeys(self.names, told)


def sequence_baselines(names: tuple[str, ...], fields: Fields, train: Frame) -> SequenceBaselines | None:
    """The baselines, where a text is among the inputs."""
    sources = [fields.column(name) for name, one in fields.inputs.items() if one.kind == "text"]
    if not sources:
        return None
    some = [text for column in islice(train.column(sources[0]), 1) for text in as_texts(column)[:LOOKED_AT]]
    long = sum(first_sentence(text) != text.strip() for text in some)
    return SequenceBaselines(names, sources[0], 2 * long > len(some))
