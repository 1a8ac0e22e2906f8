"""Text as a row of token ids: words, characters, or byte-level pairs."""

import dataclasses
import functools
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from ceiba.base.spec import Spec
from ceiba.fields.characters import clean_text
from ceiba.fields.columns import no_values
from ceiba.fields.field import Encoded, Field, Layout, Ragged, TextLayout
from ceiba.fields.sample import Sample

PADDING, UNKNOWN = "[PAD]", "[UNK]"
FILE = "tokenizer.json"
SLICE_ROWS = 1024
SAMPLE_TEXTS = 5_000
SAMPLE_CHARACTERS = 10_000
LENGTH_LEVEL = 0.99
MOST_TOKENS = 256
PARALLELISM = "TOKENIZERS_PARALLELISM"


class TokenizerSpec(Spec):
    """How text is cut into tokens; `fit` learns which tokens there are."""

    @abstractmethod
    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        """A tokenizer without tokens, and what finds them."""

    def fit(self, column: Iterable[pa.Array], max_tokens: int | None, seed: int) -> "TokenField":
        """Learn the tokens of a stream of texts, and from a sample of it how long texts are."""
        tokenizer, trainer = self.untrained()
        sample = Sample(SAMPLE_TEXTS, seed)
        tokenizer.train_from_iterator(_texts(column, sample), trainer)
        known = sample.values()
        if not any(known):
            raise no_values("must hold text")
        field = TokenField(self, max_tokens or MOST_TOKENS, tokenizer.to_str())
        if max_tokens is not None:
            return field
        lengths = np.array([len(ids) for ids in field.token_ids([text for text in known.tolist() if text])])
        longest = int(np.quantile(lengths, LENGTH_LEVEL, method="inverted_cdf"))
        return TokenField(self, min(max(1, longest), MOST_TOKENS), field.trained)


class WordSpec(TokenizerSpec):
    """Words and marks, and each Chinese character by itself."""

    type: Literal["word"] = "word"
    """The tokenizer."""
    vocab: int = 30_000
    """Most tokens, the padding and the unknown one included."""
    lowercase: bool = True
    """Whether case is ignored."""
    min_count: int = 2
    """A word that occurs fewer times in training counts as unknown."""

    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=self.lowercase
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer, trainers.WordLevelTrainer(
            vocab_size=self.vocab,
            min_frequency=self.min_count,
            special_tokens=[PADDING, UNKNOWN],
            show_progress=False,
        )


class CharacterSpec(TokenizerSpec):
    """Each character by itself."""

    type: Literal["character"] = "character"
    """The tokenizer."""
    vocab: int = 10_000
    """Most tokens, the padding and the unknown one included."""
    lowercase: bool = False
    """Whether case is ignored."""
    min_count: int = 1
    """A character that occurs fewer times in training counts as unknown."""

    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        if self.lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        return tokenizer, trainers.WordLevelTrainer(
            vocab_size=self.vocab,
            min_frequency=self.min_count,
            special_tokens=[PADDING, UNKNOWN],
            show_progress=False,
        )


class BpeSpec(TokenizerSpec):
    """Byte pairs that occur often together; nothing is ever unknown. Source: Sennrich et al. 2016, arXiv:1508.07909."""

    type: Literal["bpe"] = "bpe"
    """The tokenizer."""
    vocab: int = 8_000
    """Most tokens, the 256 bytes, the padding and the unknown one included."""
    lowercase: bool = False
    """Whether case is ignored."""
    min_count: int = 2
    """A pair that occurs fewer times in training is not joined."""

    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        tokenizer = Tokenizer(models.BPE())
        if self.lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return tokenizer, trainers.BpeTrainer(
            vocab_size=self.vocab,
            min_frequency=self.min_count,
            special_tokens=[PADDING, UNKNOWN],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )


TOKENIZERS: dict[str, type[TokenizerSpec]] = {"word": WordSpec, "character": CharacterSpec, "bpe": BpeSpec}


@dataclass(frozen=True)
class TokenField(Field):
    """Texts → ids: 0 is padding, 1 unknown, 2 and up the tokens; a text without tokens is an empty row."""

    kind: ClassVar[str] = "text"

    options: TokenizerSpec
    max_tokens: int
    trained: str = dataclasses.field(repr=False)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The trained tokenizer; a text that spells "[PAD]" is text to it, not padding."""
        tokenizer = Tokenizer.from_str(self.trained)
        tokenizer.encode_special_tokens = True
        return tokenizer

    def token_ids(self, texts: list[str]) -> list[list[int]]:
        """All tokens of each text, uncut."""
        _survive_forks()
        return [found.ids for found in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def encode(self, column: pa.Array) -> Encoded:
        texts = clean_text(column)
        rows: list[NDArray[np.int32]] = []
        for start in range(0, len(texts), SLICE_ROWS):
            found = self.token_ids(texts[start : start + SLICE_ROWS].to_pylist())
            rows += [np.array(ids[: self.max_tokens], dtype=np.int32) for ids in found]
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return {"ids": Ragged(np.concatenate([np.zeros(0, np.int32), *rows]), offsets)}

    def layout(self, name: str) -> Layout:
        return TextLayout(vocab=self.tokenizer.get_vocab_size(), max_tokens=self.max_tokens, weighted=False)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokenizer": self.options.model_dump(mode="json"), "max_tokens": self.max_tokens}

    def files(self) -> dict[str, bytes]:
        return {FILE: self.trained.encode()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        options = dict(value["tokenizer"])
        return cls(TOKENIZERS[options["type"]](**options), int(value["max_tokens"]), files[FILE].decode())


def _texts(column: Iterable[pa.Array], sample: Sample) -> Iterator[list[str]]:
    """The texts of a stream, list by list; a sample of their beginnings is kept on the way."""
    for chunk in column:
        texts = clean_text(chunk)
        for start in range(0, len(texts), SLICE_ROWS):
            part = texts[start : start + SLICE_ROWS]
            sample.add(np.array(pc.utf8_slice_codeunits(part, 0, SAMPLE_CHARACTERS).to_pylist(), dtype=object))
            yield part.to_pylist()


@functools.cache
def _survive_forks() -> None:
    """Let a child of a fork tokenize in one thread: it would wait forever for the parent's, which it does not have.

    The library offers its environment variable alone for it, which is set in the child and as it was in the parent.
    """
    before_fork: list[str | None] = []

    def before() -> None:
        before_fork.append(os.environ.get(PARALLELISM))
        os.environ[PARALLELISM] = "false"

    def after() -> None:
        if (value := before_fork.pop()) is None:
            del os.environ[PARALLELISM]
        else:
            os.environ[PARALLELISM] = value

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after)
