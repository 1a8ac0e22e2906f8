"""Text: a title, a review, a message."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import pyarrow as pa

from ceiba.base.spec import one_of
from ceiba.fields.field import Field, FieldSpec, Target
from ceiba.fields.ngrams import NgramField, NgramSpec
from ceiba.fields.tokenizers import TOKENIZERS, TokenizerSpec, WordSpec
from ceiba.fields.tokens import TokenField, as_read, as_written, fit_tokens

TokenizerOptions = one_of({**TOKENIZERS, "ngrams": NgramSpec})


class TextField(Field):
    """Any text field: the one of its tokenizer is what is made."""

    kind: ClassVar[str] = "text"

    @classmethod
    def from_json(cls, value: Mapping[str, Any], files: Mapping[str, bytes]) -> Field:  # type: ignore[override]
        """The field of the tokenizer that the JSON names."""
        is_bag = value["tokenizer"]["type"] == "ngrams"
        return NgramField.from_json(value, files) if is_bag else TokenField.from_json(value, files)


class TextSpec(FieldSpec):
    """A column of text."""

    field_class: ClassVar[type[Field]] = TextField  # type: ignore[type-abstract]

    type: Literal["text"] = "text"
    """The kind of the column."""
    tokenizer: TokenizerOptions = WordSpec()  # type: ignore[valid-type]
    """How text is cut: word, character, byte, bpe, wordpiece, unigram, folder, or ngrams."""
    max_tokens: int | None = None
    """Tokens kept of a text, the first ones (of n-grams the heaviest); null: by the training texts."""

    whole: bool = False
    """Whether a row is read whole, in pieces of max_tokens; so it is where a text is its own target."""

    masked: bool = False
    """Whether some tokens are hidden, to be told; so it is under the head masked."""

    places: bool = False
    """Whether it is told where each token stands; so it is where an output is a span."""

    written: bool = False
    """Whether it is written token by token; so it is under the head sequence."""

    corrupted: tuple[float, float] | None = None
    """The share of its tokens that is left out, to be restored, and the mean length of a span of them; so it is under
    the head denoise."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> Field:
        options: TokenizerSpec | NgramSpec = self.tokenizer
        if isinstance(options, NgramSpec):
            return options.fit(column, self.max_tokens, seed)
        return fit_tokens(
            options, column, self.max_tokens, seed, self.whole, self.masked, self.places, self.written, self.corrupted
        )

    def on(self, tokens: TokenField) -> TokenField:
        """The text in tokens that are known, as long as told, else as those were.

        Raises: RecipeError for tokens without those that are needed.
        """
        known = dataclasses.replace(tokens, max_tokens=self.max_tokens or tokens.max_tokens)
        field = as_read(known, self.whole, self.masked, self.places, self.corrupted)
        most = self.max_tokens or (tokens.max_tokens if tokens.written else None)
        return as_written(field, most) if self.written else field
