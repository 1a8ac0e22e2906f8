"""Chats as tokens of which the answers alone are learnt."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError, InputError, RecipeError
from ceiba.fields.field import Encoded, Field, Layout, Ragged, Target, TextLayout
from ceiba.fields.messages import Messages, choices, conversations, texts
from ceiba.fields.template import ChatTemplate, Laid, default_template
from ceiba.fields.text import TextSpec, TokenizerOptions
from ceiba.fields.tokenizers import BpeSpec
from ceiba.fields.tokens import TokenField, fit_tokens, survive_forks

TURN = "turn"
"""What the token is for that ends an answer."""
PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


class Spoken(NamedTuple):
    """A conversation in tokens: those that are read, for each the one that is to follow, or 0 where it is none of an
    answer, and whether the conversation was longer than what is read of it. Without an answer it has no tokens."""

    ids: NDArray[np.int32]
    targets: NDArray[np.int32]
    is_cut: bool


@dataclass(frozen=True)
class ChatField(TokenField):
    """Conversations, laid out by a template → ids, and beside each id the token of an answer that follows it, or 0.

    Pairs of conversations that differ in their answer stand one after the other in a row, each with `positions` from 0
    on; the targets of the second one, the rejected answer, are negative. Earlier answers of a pair, which both have,
    are no targets.
    """

    kind: ClassVar[str] = "chat"

    whole: bool = True
    pack: bool = True
    """Whether training rows hold as many conversations as find room, each of which sees only itself."""
    pairs: bool = False
    """Whether each row is a prompt with two answers."""

    @cached_property
    def template(self) -> ChatTemplate:
        """How conversations are laid out."""
        assert self.chat_template is not None
        return ChatTemplate(self.chat_template, self.trained, self.special, self.shift)

    def spoken(self, column: pa.Array) -> list[Spoken]:
        """Each row's conversation in tokens.

        Raises: DataError for a row that holds none, or that the template refuses.
        """
        return self._read([one or [] for one in conversations(column)])

    def spoken_pairs(self, column: pa.Array) -> list[tuple[Spoken, Spoken]]:
        """Each row's two conversations in tokens, the better one first; both are empty where one is.

        Raises: as `spoken`.
        """
        rows = choices(column)
        both = self._read([part for one in rows for part in (one or ([], []))])
        pairs = list(zip(both[::2], both[1::2], strict=True))
        return [pair if len(pair[0].ids) and len(pair[1].ids) else (EMPTY, EMPTY) for pair in pairs]

    def encode(self, column: pa.Array) -> Encoded:
        if not self.pairs:
            rows = self.spoken(column)
            return {"ids": ragged([one.ids for one in rows]), "targets": ragged([one.targets for one in rows])}
        return side_by_side(self.spoken_pairs(column))

    def _read(self, found: Sequence[Messages]) -> list[Spoken]:
        survive_forks()
        try:
            laid = self.template.lay_out(found)
        except InputError as error:
            raise DataError(error.rule, error.got, error.do) from error
        encoded = self.template.tokenizer.encode_batch([one.text for one in laid], add_special_tokens=False)
        return [self._spoken(one, tokens) for one, tokens in zip(laid, encoded, strict=True)]

    def _spoken(self, laid: Laid, tokens: Any) -> Spoken:
        """A token belongs to an answer if it begins in it; what follows the token that ends the answer does not."""
        ids = np.array(tokens.ids, dtype=np.int32)
        starts = np.array([start for start, _ in tokens.offsets], dtype=np.int64)
        told = np.zeros(len(ids), dtype=np.bool_)
        for first, last in laid.answers[-1:] if self.pairs else laid.answers:
            inside = np.flatnonzero((starts >= first) & (starts < last))
            ends = np.flatnonzero(ids[inside] + self.shift == self.special[TURN])
            told[inside[: ends[-1] + 1] if len(ends) else inside] = True
        targets = np.where(told, ids + np.int32(self.shift), np.int32(0))[1:]
        last = int(np.flatnonzero(targets)[-1]) + 1 if targets.any() else 0
        is_cut, count = last > self.max_tokens, min(last, self.max_tokens)
        if not targets[:count].any():
            return EMPTY._replace(is_cut=is_cut)
        return Spoken(ids[:count] + np.int32(self.shift), targets[:count], is_cut)

    def layout(self, name: str) -> Layout:
        return TextLayout(self.vocab, self.max_tokens, False, told=True)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "pack": self.pack, "pairs": self.pairs}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        return dataclasses.replace(super().from_json(value, files), pack=value["pack"], pairs=value["pairs"])


EMPTY = Spoken(np.zeros(0, np.int32), np.zeros(0, np.int32), False)


def ragged(rows: Sequence[NDArray[np.int32]]) -> Ragged:
    """Rows one after another."""
    return Ragged(np.concatenate([EMPTY.ids, *rows]), np.cumsum([0, *map(len, rows)], dtype=np.int64))


def side_by_side(pairs: Sequence[tuple[Spoken, Spoken]]) -> Encoded:
    """Two conversations a row."""
    both = [(better.ids, worse.ids) for better, worse in pairs]
    return {
        "ids": ragged([np.concatenate(row) for row in both]),
        "positions": ragged([places(row) for row in both]),
        "targets": ragged([np.concatenate([better.targets, -worse.targets]) for better, worse in pairs]),
    }


def places(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Where each token of several conversations in a row stands in its own."""
    return np.concatenate([EMPTY.ids, *(np.arange(len(part), dtype=np.int32) for part in parts)])


@dataclass(frozen=True)
class _Said(Iterable[pa.Array]):
    """All messages of a column of chats, as texts."""

    column: Iterable[pa.Array]

    def __iter__(self) -> Iterator[pa.Array]:
        return map(texts, self.column)


class ChatSpec(TextSpec):
    """A column of chats: lists of messages {role, content}, in which the assistant's are to be learnt."""

    field_class: ClassVar[type[Field]] = ChatField

    type: Literal["chat"] = "chat"  # type: ignore[assignment]
    """The kind of the column."""
    tokenizer: TokenizerOptions = BpeSpec()
    """How text is cut; the model's own, where it begins with one."""
    pack: bool | None = None
    """Whether training rows hold as many chats as find room, each of which sees only itself; null: where the network
    can keep them apart."""
    pairs: bool = False
    """Whether each row is a prompt with two answers; so it is under the head preference."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> Field:
        tokens = fit_tokens(self.tokenizer, _Said(column), self.max_tokens, seed, whole=True)
        return self.on(tokens)

    def on(self, tokens: TokenField) -> ChatField:
        """The chats in tokens that are known, by the template that came with them or by the default one.

        Raises: RecipeError for tokens without one that ends an answer.
        """
        known = {part.name: getattr(tokens, part.name) for part in dataclasses.fields(TokenField)}
        if tokens.chat_template is None:
            known["chat_template"] = default_template(tokens.tokenizer.get_vocab())
        told = {"max_tokens": self.max_tokens or tokens.max_tokens, "whole": True, "masked": False, "written": False}
        own = {"corrupted": None, "pack": self.pack is not False, "pairs": self.pairs}
        field = ChatField(**{**known, **told, **own})
        found = dataclasses.replace(field, special={**field.special, TURN: _turn(field)})
        vars(found)["template"] = field.template  # whose process runs already
        return found


def _turn(field: ChatField) -> int:
    """The token that ends an answer: the last special one of a short answer."""
    try:
        laid = field.template.lay_out([PROBE])[0]
    except InputError as error:
        raise RecipeError("The chat template must take a question and an answer", error.got or error.rule) from error
    first, last = laid.answers[0]
    found = field.template.tokenizer.encode(laid.text[first:last], add_special_tokens=False).ids
    ends = [id for id in found if id in field.template.special_ids]
    if not ends:
        do = "Use a tokenizer or a template with one"
        raise RecipeError("A chat template must end an answer with a special token", repr(laid.text[first:last]), do)
    return int(ends[-1]) + field.shift
