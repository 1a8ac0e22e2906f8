"""How text is cut into tokens: words, characters, bytes, and pieces of words found by three methods.

Ids: 0 is padding, 1 unknown, then the special tokens that no text spells, then what was learnt.
"""

import json
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from pydantic import Field, field_validator
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ceiba.base.spec import Spec

PADDING, UNKNOWN, END, MASK = "[PAD]", "[UNK]", "[END]", "[MASK]"
INSIDE = "##"
"""What begins a piece that does not begin a word."""
UNIGRAM_STEP = 1e-4
"""How far apart the library scores characters that its search dropped."""
ROUNDING, DIGITS = 0.01, 8
TOO_MANY_CHARACTERS = "not large enough to contain all chars"
"""What the library says of texts with more characters than tokens."""
NUM_BYTES = 256
IN_BRACKETS = re.compile(r"\[\S+\]|<\S+>")
"""A special token: every tokenizer cuts text at brackets, so that no text can spell it."""


class TokenizerSpec(Spec):
    """How text is cut into tokens; a column of training texts tells the rest."""

    type: str
    """The tokenizer."""


class LearntSpec(TokenizerSpec):
    """A tokenizer whose tokens are found in the training texts."""

    special: tuple[str, ...] = ()
    """Further tokens that no text spells, such as [MASK]; each in brackets."""

    @field_validator("special")
    @classmethod
    def in_brackets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """A special token must stand in brackets, and be another than the first two."""
        for token in value:
            if not IN_BRACKETS.fullmatch(token) or token in (PADDING, UNKNOWN) or value.count(token) > 1:
                raise ValueError(f"must hold different tokens in brackets, such as [MASK]. Got {token!r}")
        return value

    @abstractmethod
    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        """A tokenizer without tokens, and what finds them."""

    def learn(self, texts: Callable[[], Iterator[list[str]]]) -> Tokenizer:
        """The tokenizer of these texts; two that learn from the same texts are equal."""
        tokenizer, trainer = self.untrained()
        tokenizer.train_from_iterator(texts(), trainer)
        return tokenizer

    @property
    def first_tokens(self) -> list[str]:
        """What stands before all that is learnt."""
        return [PADDING, UNKNOWN, *self.special]


class WordSpec(LearntSpec):
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
        tokenizer.normalizer = _bert_normalizer(self.lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer, trainers.WordLevelTrainer(
            vocab_size=self.vocab,
            min_frequency=self.min_count,
            special_tokens=self.first_tokens,
            show_progress=False,
        )


class CharacterSpec(LearntSpec):
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
        tokenizer.decoder = decoders.Fuse()
        return tokenizer, trainers.WordLevelTrainer(
            vocab_size=self.vocab,
            min_frequency=self.min_count,
            special_tokens=self.first_tokens,
            show_progress=False,
        )


class ByteSpec(LearntSpec):
    """Each byte of UTF-8 by itself; nothing is learnt, and nothing is ever unknown."""

    type: Literal["byte"] = "byte"
    """The tokenizer."""

    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        return _byte_level(False), _byte_trainer(self.first_tokens, len(self.first_tokens) + NUM_BYTES, 1)


class BpeSpec(LearntSpec):
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
        return _byte_level(self.lowercase), _byte_trainer(self.first_tokens, self.vocab, self.min_count)


class WordPieceSpec(LearntSpec):
    """Words and pieces of words, as BERT has them; each Chinese character by itself.

    Source: Devlin et al. 2019, arXiv:1810.04805, section 3.
    """

    type: Literal["wordpiece"] = "wordpiece"
    """The tokenizer."""
    vocab: int = 8_000
    """Most tokens, the padding and the unknown one included."""
    lowercase: bool = True
    """Whether case is ignored."""
    min_count: int = 2
    """A pair of pieces that occurs fewer times in training is not joined."""

    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        tokenizer.normalizer = _bert_normalizer(self.lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(INSIDE)
        return tokenizer, self._trainer(self.vocab, [])

    def _trainer(self, vocab: int, inside: list[str]) -> trainers.Trainer:
        return trainers.WordPieceTrainer(
            vocab_size=vocab,
            min_frequency=self.min_count,
            special_tokens=[*self.first_tokens, *inside],
            continuing_subword_prefix=INSIDE,
            show_progress=False,
        )

    def learn(self, texts: Callable[[], Iterator[list[str]]]) -> Tokenizer:
        """The library numbers characters inside words in the order of a hash that differs from run to run, and by it
        decides between pairs of one frequency. So they are found first, then named in order, as if special."""
        tokenizer, _ = self.untrained()
        tokenizer.train_from_iterator(texts(), self._trainer(0, []))
        inside = sorted(token for token in tokenizer.get_vocab() if token.startswith(INSIDE))
        tokenizer.train_from_iterator(texts(), self._trainer(self.vocab, inside))
        found = json.loads(tokenizer.to_str())
        found["added_tokens"] = [one for one in found["added_tokens"] if one["content"] in self.first_tokens]
        return Tokenizer.from_str(json.dumps(found, ensure_ascii=False))


class UnigramSpec(LearntSpec):
    """Pieces of words under which the texts are most probable. Source: Kudo 2018, arXiv:1804.10959, section 3.2."""

    type: Literal["unigram"] = "unigram"
    """The tokenizer."""
    vocab: int = 8_000
    """Most tokens, the padding and the unknown one included."""
    lowercase: bool = False
    """Whether case is ignored."""

    def untrained(self) -> tuple[Tokenizer, trainers.Trainer]:
        tokenizer = Tokenizer(models.Unigram())
        if self.lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Punctuation("isolated")]
        )
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
        return tokenizer, trainers.UnigramTrainer(
            vocab_size=self.vocab, special_tokens=self.first_tokens, unk_token=UNKNOWN, show_progress=False
        )

    def learn(self, texts: Callable[[], Iterator[list[str]]]) -> Tokenizer:
        """The library's threads add up in any order, which the last digits show; and characters that its search
        dropped come back with scores a step apart, in the order of a hash, here in that of the alphabet.

        It refuses texts of more characters than the vocabulary has room for: the rarest are then unknown, as in the
        other tokenizers."""
        try:
            learnt = super().learn(texts)
        except Exception as error:  # the library has no other kind
            if TOO_MANY_CHARACTERS not in str(error):
                raise
            learnt = super().learn(self._of_common_characters(texts))
        found = json.loads(learnt.to_str())
        first = len(self.first_tokens)
        pieces = {piece: round(score, DIGITS) for piece, score in found["model"]["vocab"][first:]}
        back: list[str] = []
        lowest = min(pieces.values(), default=0.0)
        for piece in sorted((one for one in pieces if len(one) == 1), key=pieces.__getitem__):
            steps = (pieces[piece] - lowest) / UNIGRAM_STEP
            if abs(steps - round(steps)) < ROUNDING and round(steps) <= len(back):
                back.append(piece)
        pieces |= dict(zip(sorted(back), [pieces[piece] for piece in back], strict=True))
        ordered = sorted(pieces.items(), key=lambda one: (-one[1], one[0]))
        found["model"]["vocab"][first:] = [list(one) for one in ordered]
        return Tokenizer.from_str(json.dumps(found, ensure_ascii=False))

    def _of_common_characters(self, texts: Callable[[], Iterator[list[str]]]) -> Callable[[], Iterator[list[str]]]:
        """The same texts with a blank for each character beyond the most frequent ones that there is room for."""

        def read() -> Iterator[list[str]]:
            return ([text.lower() if self.lowercase else text for text in part] for part in texts())

        counts = Counter(character for part in read() for text in part for character in text if character != " ")
        room = max(self.vocab - len(self.first_tokens) - 1, 1)  # and the blank
        common = sorted(counts, key=lambda one: (-counts[one], one))[:room]
        blanks = dict.fromkeys(map(ord, counts.keys() - set(common)), " ")
        return lambda: ([text.translate(blanks) for text in part] for part in read())


class FolderSpec(TokenizerSpec):
    """The tokenizer of a folder as Hugging Face writes it, offline; nothing is learnt.

    Reads tokenizer.json, else vocab.txt (BERT), else vocab.json and merges.txt (GPT-2).
    """

    type: Literal["folder"] = "folder"
    """The tokenizer."""
    folder: str = Field(min_length=1)
    """Where it lies; a relative path is taken from the recipe's folder."""
    template: bool = True
    """Whether a text is put into the tokenizer's own frame, such as [CLS] ... [SEP]; a language model does without."""
    more: tuple[str, ...] = ()
    """Further tokens, whose ids follow the tokenizer's own."""


def _bert_normalizer(lowercase: bool) -> normalizers.Normalizer:
    return normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )


def _byte_level(lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _byte_trainer(first: list[str], vocab: int, min_count: int) -> trainers.Trainer:
    return trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=min_count,
        special_tokens=first,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


TOKENIZERS: dict[str, type[TokenizerSpec]] = {
    "word": WordSpec,
    "character": CharacterSpec,
    "byte": ByteSpec,
    "bpe": BpeSpec,
    "wordpiece": WordPieceSpec,
    "unigram": UnigramSpec,
    "folder": FolderSpec,
}
"""Name → spec."""
