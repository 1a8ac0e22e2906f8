"""Text as a row of token ids."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import AddedToken, Encoding, Tokenizer
from tokenizers.processors import TemplateProcessing

from ceiba.base.errors import RecipeError
from ceiba.fields.characters import MAX_CHARACTERS, clean_text
from ceiba.fields.columns import no_values
from ceiba.fields.corruption import Corruption
from ceiba.fields.field import Array, Encoded, Field, Layout, Ragged, TextLayout
from ceiba.fields.pairs import CLASS, SEPARATOR, is_pair, joined, parted
from ceiba.fields.pieces import hidden, in_pieces, restored
from ceiba.fields.sample import Sample
from ceiba.fields.tokenizer_folder import read_folder
from ceiba.fields.tokenizers import END, MASK, TOKENIZERS, FolderSpec, LearntSpec, TokenizerSpec

FILE, TEMPLATE_FILE = "tokenizer.json", "chat_template.jinja"
SLICE_ROWS = 1024
SAMPLE_TEXTS = 5_000
SAMPLE_CHARACTERS = 10_000
LENGTH_LEVEL = 0.99
MOST_TOKENS = 256
PARALLELISM = "TOKENIZERS_PARALLELISM"
ENDLESS = 2**31 - 1
OWN_ROLES = {END: "end", MASK: "mask", CLASS: "class", SEPARATOR: "separator"}
PAIR = f"{CLASS} $A {SEPARATOR} $B:1 {SEPARATOR}:1"
"""How a pair stands among the tokens that were learnt; a text by itself has no frame."""
UNKNOWN_ID = 1


@dataclass(frozen=True)
class TokenField(Field):
    """Texts → ids: 0 is padding; a text without tokens is an empty row.

    A tokenizer that Ceiba learnt has 1 for unknown and 2 and up for the tokens. One that comes from a folder keeps its
    ids if 0 is its padding, and else has each one greater by `shift`.
    """

    kind: ClassVar[str] = "text"

    options: TokenizerSpec
    max_tokens: int
    trained: str = dataclasses.field(repr=False)
    vocab: int
    """Ids there are, 0 included."""
    shift: int = 0
    """What an id is greater than the tokenizer's own."""
    special: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What a special token is for (end, mask, begin, ...) → its id."""
    whole: bool = False
    """Whether a row is read whole, in pieces of max_tokens, as a language model does, or cut."""
    masked: bool = False
    """Whether some tokens are hidden, to be told from those on both sides."""
    places: bool = False
    """Whether it is told where in the text each token stands, so that an answer may quote it."""
    written: bool = False
    """Whether it is a target that is written token by token, the token that ends it the last."""
    corrupted: Corruption | None = None
    """How spans are left out of it, to be restored; their sentinels have ids behind those of all tokens."""
    chat_template: str | None = dataclasses.field(default=None, repr=False)
    """How a folder's author lays out a chat: a template in Jinja, somebody else's code."""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The trained tokenizer; a text that spells "[PAD]" is text to it, not padding."""
        tokenizer = Tokenizer.from_str(self.trained)
        tokenizer.encode_special_tokens = True
        return tokenizer

    @cached_property
    def _cutting(self) -> Tokenizer:
        """A folder's tokenizer that cuts a text so that its frame has room."""
        tokenizer = Tokenizer.from_str(self.trained)
        tokenizer.encode_special_tokens = True
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    def token_ids(self, texts: list[str]) -> list[list[int]]:
        """All tokens of each text, uncut and without a frame."""
        survive_forks()
        found = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [one.ids if not self.shift else [id + self.shift for id in one.ids] for one in found]

    def _framed(self, texts: Sequence[Any]) -> Encoded:
        """The tokens that each row keeps, of texts or of pairs, whose longer text is cut first; a row without text has
        none. Where they are asked for, also the place in the row's last text at which each token begins and ends."""
        is_pair_of = bool(texts) and not isinstance(texts[0], str)
        if is_pair_of or self.places or (isinstance(self.options, FolderSpec) and self.options.template):
            survive_forks()
            cut = self._cutting.encode_batch if self.places else self._cutting.encode_batch_fast
            found = cut(texts, add_special_tokens=True)
            rows = [one.ids if any(text) else [] for one, text in zip(found, texts, strict=True)]
            ids = [np.array(row, dtype=np.int32) + np.int32(self.shift) for row in rows]
        else:
            ids = [np.array(row[: self.max_tokens], dtype=np.int32) for row in self.token_ids(list(texts))]
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        parts: Encoded = {"ids": Ragged(np.concatenate([np.zeros(0, np.int32), *ids]), offsets)}
        if self.places:
            where = [_places(one, int(is_pair_of))[: len(row)] for one, row in zip(found, ids, strict=True)]
            parts["places"] = Ragged(np.concatenate([np.zeros((0, 2), np.int32), *where]), offsets)
        return parts

    def decode(self, ids: Iterable[int], keep_special: bool = False) -> str:
        """The text that tokens spell; padding is passed over, as are special tokens unless they are kept."""
        own = [int(id) - self.shift for id in ids if id]
        text: str = self.tokenizer.decode(own, skip_special_tokens=not keep_special)
        return text

    def with_tokens(self, tokens: Sequence[str]) -> Self:
        """The same with further tokens, whose ids follow those of its own; a text that spells one holds it whole.

        Raises: RecipeError for one that it has, or that would not be read back as it is written.
        """
        tokenizer = Tokenizer.from_str(self.trained)
        first = tokenizer.get_vocab_size()
        known = tokenizer.get_vocab()
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in tokens])
        for place, token in enumerate(tokens):
            ids = tokenizer.encode(token, add_special_tokens=False).ids
            if token in known or ids != [first + place] or tokenizer.decode(ids) != token:
                do = "Leave it out, or spell it otherwise"
                raise RecipeError("A new token must be new, and be read back as it is written", repr(token), do)
        vocab = max(self.vocab, tokenizer.get_vocab_size() + self.shift)
        return dataclasses.replace(self, trained=tokenizer.to_str(), vocab=vocab)

    @property
    def hides(self) -> bool:
        """Whether what is told are tokens that it does not show."""
        return self.masked or self.corrupted is not None

    @property
    def unknown(self) -> int | None:
        """The id of what has no token; nothing where everything has."""
        return self.special.get("unknown") if isinstance(self.options, FolderSpec) else UNKNOWN_ID

    def clean(self, column: pa.Array) -> pa.Array:
        """A column as the texts that are cut into tokens; a folder's tokenizer sees them as they stand."""
        most = ENDLESS if self.whole else MAX_CHARACTERS
        return clean_text(column, most, compose=not (self.places or isinstance(self.options, FolderSpec)))

    def num_bytes(self, column: pa.Array) -> NDArray[np.int64]:
        """The bytes of UTF-8 of each text."""
        sizes: NDArray[np.int64] = pc.binary_length(self.clean(column)).to_numpy().astype(np.int64)
        return sizes

    def whole_rows(self, column: pa.Array, framed: bool = True) -> list[NDArray[np.int32]]:
        """All tokens of each text; framed, behind the token that ends the text before it, where there is one."""
        first = [self.special["end"]] if framed and "end" in self.special else []
        return [np.array(first + ids, dtype=np.int32) for ids in self.token_ids(self.clean(column).to_pylist())]

    def pieces(self, rows: Sequence[NDArray[np.int32]]) -> Encoded:
        """Rows of any length as a language model is measured on them."""
        if self.masked:
            return hidden(rows, self.max_tokens, self.special["mask"])
        if self.corrupted is not None:
            return restored(rows, self.max_tokens, self.corrupted)
        return {"ids": in_pieces(rows, self.max_tokens)}

    def encode(self, column: pa.Array) -> Encoded:
        if self.whole:
            return self.pieces(self.whole_rows(column))
        if is_pair(column.type):
            texts = list(zip(*(self.clean(text).to_pylist() for text in parted(column)), strict=True))
        else:
            texts = self.clean(column).to_pylist()
        parts = [self._framed(texts[start : start + SLICE_ROWS]) for start in range(0, max(len(texts), 1), SLICE_ROWS)]
        return parts[0] if len(parts) == 1 else {name: _stacked([one[name] for one in parts]) for name in parts[0]}

    def target(self, column: pa.Array) -> Array | Ragged:
        """The tokens of each text, cut so that the one that ends it has room; nothing where there is no text."""
        if not self.written:
            return super().target(column)
        rows = self.token_ids(self.clean(column).to_pylist())
        there = np.asarray(column.is_valid())
        ids = [[*row[: self.max_tokens - 1], self.special["end"]] if is_known else []
               for row, is_known in zip(rows, there, strict=True)]  # fmt: skip
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        return Ragged(np.array(list(chain.from_iterable(ids)), dtype=np.int32), offsets)

    def layout(self, name: str) -> Layout:
        return TextLayout(self.vocab, self.max_tokens, False, self.special.get("separator"), self.places)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "tokenizer": self.options.model_dump(mode="json"), "max_tokens": self.max_tokens,
            "vocab": self.vocab, "shift": self.shift, "special": dict(self.special), "whole": self.whole,
            "masked": self.masked, "places": self.places, "written": self.written,
            "corrupted": None if self.corrupted is None else dataclasses.asdict(self.corrupted),
        }  # fmt: skip

    def files(self) -> dict[str, bytes]:
        template = {} if self.chat_template is None else {TEMPLATE_FILE: self.chat_template.encode()}
        return {FILE: self.trained.encode(), **template}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        options = dict(value["tokenizer"])
        trained = files[FILE].decode()
        template = files[TEMPLATE_FILE].decode() if TEMPLATE_FILE in files else None
        # The first bundles told of a tokenizer only its options.
        vocab = value["vocab"] if "vocab" in value else Tokenizer.from_str(trained).get_vocab_size()
        return cls(
            TOKENIZERS[options["type"]](**options), int(value["max_tokens"]), trained, int(vocab),
            int(value.get("shift", 0)), dict(value.get("special", {})), bool(value.get("whole", False)),
            bool(value.get("masked", False)), bool(value.get("places", False)), bool(value.get("written", False)),
            None if value.get("corrupted") is None else Corruption(**value["corrupted"]), template,
        )  # fmt: skip


def fit_tokens(
    options: TokenizerSpec,
    column: Iterable[pa.Array],
    max_tokens: int | None,
    seed: int,
    whole: bool = False,
    masked: bool = False,
    places: bool = False,
    written: bool = False,
    corrupted: tuple[float, float] | None = None,
) -> TokenField:
    """Learn the tokens of a stream of texts or pairs, or read them from a folder; from a sample how long they are.

    Raises: DataError for a column without text; RecipeError for a folder without a tokenizer.
    """
    sample = Sample(SAMPLE_TEXTS, seed)
    pairs = any(is_pair(chunk.type) for chunk in islice(column, 1))
    if isinstance(options, FolderSpec):
        field, most = folder_tokens(options)
        for _ in _texts(column, sample):
            pass
    else:
        assert isinstance(options, LearntSpec)
        if pairs:
            more = tuple(token for token in (CLASS, SEPARATOR) if token not in options.special)
            options = options.model_copy(update={"special": (*options.special, *more)})
        tokenizer = options.learn(lambda: _texts(column, sample))
        own = tokenizer.get_vocab()
        roles = {OWN_ROLES[token]: own[token] for token in options.special if token in OWN_ROLES}
        if pairs:
            frame = [(token, own[token]) for token in (CLASS, SEPARATOR)]
            tokenizer.post_processor = TemplateProcessing(single="$A", pair=PAIR, special_tokens=frame)
        vocab = tokenizer.get_vocab_size()
        field, most = TokenField(options, MOST_TOKENS, tokenizer.to_str(), vocab, special=roles), MOST_TOKENS
    known = [text for text in sample.values().tolist() if text]
    if not known:
        raise no_values("must hold text")
    usual = max_tokens or _usual_length(field, known, most, pairs)
    field = as_read(dataclasses.replace(field, max_tokens=usual), whole, masked, places, corrupted)
    return as_written(field, max_tokens) if written else field


def as_read(
    field: TokenField, whole: bool, masked: bool, places: bool, corrupted: tuple[float, float] | None
) -> TokenField:
    """The same tokens for a text that is read otherwise.

    Raises: RecipeError for a tokenizer without the tokens that are needed for it.
    """
    if masked and "mask" not in field.special:
        raise RecipeError("A tokenizer must have a token that hides others for the head masked", "none", "Use another")
    found = dataclasses.replace(field, whole=whole, masked=masked, places=places, written=False, corrupted=None)
    if corrupted is None:
        return found
    if "end" not in field.special:
        raise RecipeError("A text that is restored needs a token that ends it", "none in the tokenizer", "Use another")
    first = field.vocab if field.corrupted is None else field.corrupted.first
    how = Corruption(*corrupted, first)
    vocab = max(field.vocab, first + how.sentinels(field.max_tokens))
    return dataclasses.replace(found, corrupted=how, vocab=vocab)


def as_written(field: TokenField, max_tokens: int | None = None) -> TokenField:
    """The same tokens for a text that is written: as many as told, or one more, which ends it.

    Raises: RecipeError for a tokenizer without a token that ends a text.
    """
    if "end" not in field.special:
        raise RecipeError("A text that is written needs a token that ends it", "none in the tokenizer", "Use another")
    return dataclasses.replace(field, max_tokens=max_tokens or field.max_tokens + 1, written=True)


def folder_tokens(options: FolderSpec) -> tuple[TokenField, int]:
    """The field of a folder's tokenizer, and how many tokens a row may have for it."""
    found = read_folder(Path(options.folder))
    ids = Tokenizer.from_str(found.tokenizer).get_vocab()
    shift = 0 if "padding" in found.special and ids[found.special["padding"]] == 0 else 1
    roles = {role: ids[token] + shift for role, token in found.special.items()}
    field = TokenField(
        options, MOST_TOKENS, found.tokenizer, found.vocab + shift, shift, roles, chat_template=found.template
    ).with_tokens(options.more)
    return field, min(found.most_tokens or MOST_TOKENS, 2 * MOST_TOKENS)


def _usual_length(field: TokenField, known: Sequence[str], most: int, pairs: bool) -> int:
    """What all but a few texts keep to, at most what is usual; pairs are known as one text, without their frame."""
    found = dataclasses.replace(field, max_tokens=most)._framed(known)["ids"]
    assert isinstance(found, Ragged)
    count = field.tokenizer.num_special_tokens_to_add
    longest = int(np.quantile(found.lengths, LENGTH_LEVEL, method="inverted_cdf"))
    return min(max(1, longest + (count(True) - count(False) if pairs else 0)), most)


def _texts(column: Iterable[pa.Array], sample: Sample) -> Iterator[list[str]]:
    """The texts of a stream, list by list; a sample of their beginnings is kept on the way."""
    for chunk in column:
        texts = clean_text(joined(chunk) if is_pair(chunk.type) else chunk)
        for start in range(0, len(texts), SLICE_ROWS):
            part = texts[start : start + SLICE_ROWS]
            sample.add(np.array(pc.utf8_slice_codeunits(part, 0, SAMPLE_CHARACTERS).to_pylist(), dtype=object))
            yield part.to_pylist()


def _places(found: Encoding, text: int) -> NDArray[np.int32]:
    """(token, 2): where each token of one of the row's texts begins and ends, in characters; zeros for all others."""
    own = np.array([place == text for place in found.sequence_ids], dtype=np.int32)
    return np.array(found.offsets, dtype=np.int32).reshape(-1, 2) * own[:, None]


def _stacked(parts: Sequence[Any]) -> Ragged:
    """Rows of several parts, one after another."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.values for part in parts]), np.cumsum([0, *lengths], dtype=np.int64))


@functools.cache
def survive_forks() -> None:
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
