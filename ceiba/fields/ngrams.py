"""Text as a weighted bag of n-grams: of words, and of characters within words."""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.spec import Spec
from ceiba.fields.characters import clean_text
from ceiba.fields.columns import no_values
from ceiba.fields.field import Encoded, Field, Layout, Ragged, TextLayout
from ceiba.fields.ngram_keys import HASH_BITS, HASH_MASK, WORDS_FROM, DocumentCounts, Places, Words, key_blocks

FIRST = 2  # 0 is padding, 1 is left for what is unknown
MOST_TOKENS = 4096


class NgramSpec(Spec):
    """A bag of hashed n-grams weighted by tf-idf, for short training and strong baselines."""

    type: Literal["ngrams"] = "ngrams"
    """The tokenizer."""
    words: int = 2
    """Longest run of words; 0 for none."""
    characters: tuple[int, int] | None = (2, 5)
    """Shortest and longest run of characters within a word and its two ends; null for none."""
    character_weight: float = 0.4
    """Weight of a run of characters against one of words."""
    han: int = 3
    """Longest run of Han, Hiragana and Katakana characters, each of which counts as a word; 0 for none."""
    lowercase: bool = True
    """Whether case is ignored."""
    min_rows: int = 2
    """An n-gram of fewer training rows is left out, unless none would be left."""
    max_features: int = 200_000
    """The n-grams of most rows are kept."""

    def blocks(self, column: pa.Array) -> Iterator[tuple[int, Words, Places]]:
        """A column's n-grams, block by block."""
        texts = clean_text(column)
        texts = pc.utf8_lower(texts) if self.lowercase else texts
        return key_blocks(texts, self.words, self.characters, self.han)

    def fit(self, column: Iterable[pa.Array], max_tokens: int | None, seed: int) -> "NgramField":
        """Learn the n-grams worth keeping."""
        counts, num_rows, longest = DocumentCounts(), 0, 0
        for chunk in column:
            for rows, keys, _ in self.blocks(chunk):
                num_rows += rows
                counts.add(keys & HASH_MASK)
                longest = max(longest, int(np.bincount((keys >> np.uint64(HASH_BITS)).astype(np.int64)).max(initial=0)))
        if not longest:
            raise no_values("must hold text")
        vocabulary, rows_with = counts.most(self.max_features, self.min_rows)
        if not len(vocabulary):
            vocabulary, rows_with = counts.most(self.max_features, 1)
        idf = np.log((1 + num_rows) / (1 + rows_with)) + 1.0
        return NgramField(self, max_tokens or min(longest, MOST_TOKENS), vocabulary, idf)


@dataclass(frozen=True, eq=False)
class NgramField(Field):
    """Texts → the ids of the n-grams they hold, ascending, each with its tf-idf weight; a row's weights have length 1.

    Source: Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval", table 1.
    """

    kind: ClassVar[str] = "text"

    options: NgramSpec
    max_tokens: int
    vocabulary: Words
    idf: NDArray[np.float64]

    def encode(self, column: pa.Array) -> Encoded:
        found = [self._block(*block) for block in self.options.blocks(column)]
        offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *(lengths for lengths, _, _ in found)]))
        ids = np.concatenate([np.zeros(0, np.int32), *(ids for _, ids, _ in found)])
        weights = np.concatenate([np.zeros(0, np.float32), *(weights for _, _, weights in found)])
        return {"ids": Ragged(ids, offsets), "weights": Ragged(weights, offsets)}

    def _block(
        self, num_rows: int, keys: Words, counts: Places
    ) -> tuple[Places, NDArray[np.int32], NDArray[np.float32]]:
        hashes = keys & HASH_MASK
        places = np.minimum(np.searchsorted(self.vocabulary, hashes), len(self.vocabulary) - 1)
        known = self.vocabulary[places] == hashes
        rows, places = (keys[known] >> np.uint64(HASH_BITS)).astype(np.int64), places[known]
        weights = (1.0 + np.log(counts[known])) * self.idf[places]
        weights[hashes[known] < WORDS_FROM] *= self.options.character_weight
        rows, places, weights = _heaviest(rows, places, weights, num_rows, self.max_tokens)
        norm = np.sqrt(np.bincount(rows, weights * weights, num_rows))
        lengths = np.bincount(rows, minlength=num_rows).astype(np.int64)
        return lengths, (places + FIRST).astype(np.int32), (weights / norm[rows]).astype(np.float32)

    def layout(self, name: str) -> Layout:
        return TextLayout(vocab=len(self.vocabulary) + FIRST, max_tokens=self.max_tokens, weighted=True)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokenizer": self.options.model_dump(mode="json"), "max_tokens": self.max_tokens}

    def files(self) -> dict[str, bytes]:
        return {"ngrams.npy": _npy(self.vocabulary), "idf.npy": _npy(self.idf)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        arrays = [np.load(io.BytesIO(files[name]), allow_pickle=False) for name in ("ngrams.npy", "idf.npy")]
        return cls(NgramSpec(**value["tokenizer"]), int(value["max_tokens"]), *arrays)


def _heaviest(
    rows: Places, places: Places, weights: NDArray[np.float64], num_rows: int, most: int
) -> tuple[Places, Places, NDArray[np.float64]]:
    """At most `most` n-grams a row: the heaviest, ties by id; their order stays."""
    lengths = np.bincount(rows, minlength=num_rows)
    if lengths.max(initial=0) <= most:
        return rows, places, weights
    order = np.lexsort((places, -weights, rows))
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = np.sort(order[rank < most])
    return rows[kept], places[kept], weights[kept]


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
