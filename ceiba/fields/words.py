"""Words in a row, each by itself and by its characters: what a tagger reads."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field as Option

from ceiba.fields.columns import no_values
from ceiba.fields.field import Encoded, Field, FieldSpec, Layout, Ragged, Target, WordsLayout
from ceiba.fields.lists import as_words

FIRST = 2
"""Ids: 0 is padding, 1 unknown, the known ones follow."""
DIGIT = "0"


@dataclass(frozen=True)
class WordsField(Field):
    """Lists of words → ids of the words and of their characters; case and digits are left to the characters."""

    kind: ClassVar[str] = "words"

    words: tuple[str, ...]
    characters: tuple[str, ...]
    max_characters: int

    @cached_property
    def _places(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words, FIRST)}

    @cached_property
    def _character_places(self) -> dict[str, int]:
        return {character: place for place, character in enumerate(self.characters, FIRST)}

    def encode(self, column: pa.Array) -> Encoded:
        words, offsets = as_words(column)
        own = {word: place for place, word in enumerate(dict.fromkeys(words))}
        places = np.fromiter((own[word] for word in words), np.int64, len(words))
        ids = np.fromiter((self._places.get(plain(word), 1) for word in own), np.int32, len(own))
        spelled = np.zeros((len(own), self.max_characters), np.int32)
        for word, row in own.items():
            for place, character in enumerate(word[: self.max_characters]):
                spelled[row, place] = self._character_places.get(character, 1)
        return {"ids": Ragged(ids[places], offsets), "characters": Ragged(spelled[places], offsets)}

    def layout(self, name: str) -> Layout:
        return WordsLayout(len(self.words) + FIRST, len(self.characters) + FIRST, self.max_characters)


class WordsSpec(FieldSpec):
    """A column of words in a row: lists of words, or texts that are cut at blanks."""

    field_class: ClassVar[type[Field]] = WordsField

    type: Literal["words"] = "words"
    """The kind of the column."""
    min_count: int = Option(1, ge=1)
    """A word that occurs fewer times in training counts as unknown."""
    max_words: int = Option(50_000, ge=1)
    """The most frequent words are kept."""
    max_characters: int = Option(20, ge=1)
    """Characters of a word that are read, the first ones."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> Field:
        counts: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for chunk in column:
            words, _ = as_words(chunk)
            counts.update(map(plain, words))
            characters.update(character for word in words for character in word)
        if not counts:
            raise no_values("must hold words")
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        kept = tuple(word for word in ordered[: self.max_words] if counts[word] >= self.min_count)
        return WordsField(kept, tuple(sorted(characters)), self.max_characters)


def plain(word: str) -> str:
    """A word as it is looked up: in lower case, every digit alike."""
    return "".join(DIGIT if character.isdigit() else character for character in word.lower())
