"""A language model beside the texts it is measured on, and beside models that only count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.evaluate.contamination import contamination_notes
from ceiba.evaluate.ngram import Ngrams, count_ngrams
from ceiba.fields import TEACHER, ChatField, Fields, Pieces, TokenField, joined, measured_rows, stream
from ceiba.read import Frame, are_lines

Array = NDArray[Any]
MOST_TOKENS = 4_000_000
"""Tokens of the training text that are counted, the first ones."""
TRIED_TEXTS = 20
"""Texts that must come back from their tokens as they were, for bits a byte to mean anything."""


def text_field(fields: Fields, name: str) -> TokenField:
    """The field of a text that is its own target."""
    found = fields.inputs[name]
    assert isinstance(found, TokenField)
    return found


def text_truth(frame: Frame, name: str, one: TokenField, tokens: Array) -> Array:
    """(row, 2): tokens that are predicted, and bytes of UTF-8, 0 where tokens do not tell the text; NaN for a row with
    nothing to predict. Of the lines of one text, each window has its share of all bytes."""
    if one.hides or isinstance(one, ChatField) or not _comes_back(frame, name, one):
        size: Array = np.zeros(len(tokens))
    elif are_lines(frame, name):
        whole = sum(count for _, count in stream(one, frame.column(name), lines=True))
        size = tokens * (whole / max(tokens.sum(), 1))
    else:
        size = np.concatenate([np.zeros(0), *(one.num_bytes(chunk) for chunk in frame.column(name))])
    return np.where(tokens[:, None] > 0, np.stack([tokens, size], 1), np.nan)


def _comes_back(frame: Frame, name: str, one: TokenField) -> bool:
    column = frame.column(name)
    chunks = joined(column) if are_lines(frame, name) else iter(column)
    texts = [text for chunk in islice(chunks, 1) for text in one.clean(chunk[:TRIED_TEXTS]).to_pylist()]
    return all(one.decode(ids) == text for ids, text in zip(one.token_ids(texts), texts, strict=True))


def _measured(one: TokenField, frame: Frame, name: str) -> Iterator[tuple[list[Array], list[Array]]]:
    """The rows of tokens that are measured, some at a time, and which of their tokens are predicted: of a chat its
    answers, of one that is restored what restores it, of any other text all but the first."""
    if isinstance(one, ChatField):
        for chunk in frame.column(name):
            spoken = one.spoken(chunk)
            rows = [np.append(each.ids, each.targets[-1:]) for each in spoken]
            yield rows, [np.append(np.zeros(len(each.ids[:1]), bool), each.targets > 0) for each in spoken]
        return
    for rows in measured_rows(one, frame.column(name), are_lines(frame, name)):
        rows = rows if one.corrupted is None else _restoring(one, rows)
        yield rows, [np.arange(len(row)) > 0 for row in rows]


def _restoring(one: TokenField, rows: list[Array]) -> list[Array]:
    """What restores each row, behind the token that a decoder begins with."""
    told = one.pieces(rows)[TEACHER]
    assert isinstance(told, Pieces)
    lengths = np.bincount(told.owners, told.lengths, told.num_rows).astype(np.int64)
    found = np.split(told.values, lengths.cumsum())[:-1]
    return [np.append(np.int32(one.special["end"]), row) for row in found]


@dataclass(frozen=True)
class TextBaselines:
    """Token frequencies, and runs of tokens, counted in the training text."""

    fields: Fields
    models: Mapping[str, Ngrams]
    notes: tuple[str, ...] = ()
    """What was left out, and the user should know."""

    def scores(self, frame: Frame) -> dict[str, dict[str, Array]]:
        """{"constant" | "quick": {output: mean surprise a token}} of each row that is measured."""
        found: dict[str, dict[str, Array]] = {"constant": {}, "quick": {}}
        for name, model in self.models.items():
            few = text_field(self.fields, name).hides  # runs say what follows, not what stands between
            for baseline, most in (("constant", 1), ("quick", None))[: 1 if few else 2]:
                found[baseline][name] = self._surprise(frame, name, model, most)
        return found

    def _surprise(self, frame: Frame, name: str, model: Ngrams, most: int | None) -> Array:
        parts = [np.zeros(0)]
        for rows, told in _measured(text_field(self.fields, name), frame, name):
            lengths = np.array([len(row) for row in rows], dtype=np.int64)
            if not lengths.sum():
                parts.append(np.zeros(len(rows)))
                continue
            nats = np.append(0.0, model.surprises(np.concatenate(rows), most)) * np.concatenate(told)
            owners = np.repeat(np.arange(len(rows)), lengths)
            parts.append(np.bincount(owners, nats, len(rows)) / np.maximum([mask.sum() for mask in told], 1))
        return np.concatenate(parts)

    def about(self) -> dict[str, dict[str, Any]]:
        """{output: {"constant" | "quick": what it is}}."""
        return {
            name: {
                "constant": {"model": "each token by its frequency"},
                "quick": {"model": f"counts of runs of up to {len(model.runs)} tokens (Witten-Bell)"},
            }
            for name, model in self.models.items()
        }


def fit_text_baselines(train: Frame, held: Mapping[str, Frame], fields: Fields, name: str) -> TextBaselines:
    """Count the tokens of the training text, and the runs of them; look for held-out texts that it holds already."""
    one = text_field(fields, name)
    parts: list[Array] = []
    counted = 0
    for ids in _counted(one, train, name):
        parts.append(ids[: max(MOST_TOKENS - counted, 0)])
        counted += len(parts[-1])
        if counted >= MOST_TOKENS:
            break
    # What chats share is what is asked: prompts alike are no sign that an answer was seen.
    notes = () if isinstance(one, ChatField) else contamination_notes(train, held, name)
    if counted >= MOST_TOKENS:
        notes += (f"The n-grams of '{name}' were counted in its first {counted:,} tokens",)
    return TextBaselines(fields, {name: count_ngrams(np.concatenate(parts), one.vocab)}, notes)


def _counted(one: TokenField, train: Frame, name: str) -> Iterator[Array]:
    """The tokens of the training text, piece by piece."""
    if isinstance(one, ChatField) or one.corrupted is not None:
        for rows, _ in _measured(one, train, name):
            yield from rows if isinstance(one, ChatField) else (row[1:] for row in rows)
        return
    for ids, _ in stream(one, train.column(name), are_lines(train, name)):
        yield ids
