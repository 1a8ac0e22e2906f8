"""Text that keeps a form: of all tokens, only those that a JSON Schema allows next."""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ceiba.base.errors import InputError
from ceiba.base.optional import require
from ceiba.fields import TokenField

SCHEMA_CHARACTERS = 1 << 16
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
END = 0
"""The id that stands for the end of a text where the tokenizer has none: that of padding, which is never written."""


class Vocabulary:
    """The tokens of a field as bytes, which is what a form is checked against."""

    def __init__(self, field: TokenField):
        self.field, self.end = field, field.special.get("end", END)

    @cached_property
    def tokens(self) -> list[bytes]:
        """The bytes of each id that follows another token; special tokens have none."""
        field, tokenizer = self.field, self.field.tokenizer
        byte_of = _byte_alphabet() if '"ByteLevel"' in json.dumps(json.loads(field.trained)["decoder"]) else None
        (anchor,) = field.token_ids(["a"])
        before = field.decode(anchor)
        found = []
        for id in range(field.vocab):
            text = tokenizer.id_to_token(id - field.shift) if id >= field.shift else None
            if text is None or id in self.special:
                found.append(b"")
            elif byte_of is not None and all(character in byte_of for character in text):
                found.append(bytes(byte_of[character] for character in text))
            elif byte := BYTE.fullmatch(text):
                found.append(bytes([int(byte[1], 16)]))
            else:
                found.append(field.decode([*anchor, id]).removeprefix(before).encode())
        return found

    @cached_property
    def special(self) -> set[int]:
        """Ids that no text spells."""
        added = self.field.tokenizer.get_added_tokens_decoder()
        return {id + self.field.shift for id, token in added.items() if token.special} | {END, self.end}

    @cached_property
    def matching(self) -> Any:
        """The vocabulary as the matcher needs it.

        Raises: MissingPackage if llguidance is not installed.
        """
        guidance = require("llguidance", "json", "write text of a JSON Schema")
        wrapper = require("llguidance._tokenizer", "json", "write text of a JSON Schema").TokenizerWrapper
        return guidance.LLTokenizer(wrapper(_Tokens(self)))


class _Tokens:
    """The interface that the matcher asks of a tokenizer."""

    def __init__(self, vocabulary: Vocabulary):
        self.eos_token_id, self.bos_token_id = vocabulary.end, None
        self.tokens = [
            token or b"\xff[%d]" % id for id, token in enumerate(vocabulary.tokens)
        ]  # \xff is in no text: what begins with it is special
        self.special_token_ids = sorted(vocabulary.special)
        self._field = vocabulary.field

    def __call__(self, text: bytes | str) -> list[int]:
        """The tokens of a text."""
        return self._field.token_ids([text.decode(errors="replace") if isinstance(text, bytes) else text])[0]


class JsonConstraint:
    """A text that is a JSON value of a schema, and then ends.

    Raises: InputError for a schema that is too long, or that the matcher does not know how to keep.
    """

    def __init__(self, schema: Mapping[str, Any], vocabulary: Vocabulary):
        text = json.dumps(schema)
        if len(text) > SCHEMA_CHARACTERS:
            raise InputError("generate json_schema must be short", f"{len(text)} characters")
        guidance = require("llguidance", "json", "write text of a JSON Schema")
        self.size = vocabulary.field.vocab
        try:
            grammar = guidance.LLMatcher.grammar_from_json_schema(text)
        except ValueError as error:
            raise InputError("generate json_schema must be one that can be kept", str(error)[:200]) from error
        self._matcher = guidance.LLMatcher(vocabulary.matching, grammar)
        self._check()

    def allowed(self) -> Bool[Tensor, "vocab"]:
        """The tokens that may come next."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, bitorder="little")[: self.size].astype(bool))

    def advance(self, token: int) -> None:
        """A token was chosen."""
        self._matcher.consume_token(token)

    @property
    def is_done(self) -> bool:
        """Whether the value is whole and nothing can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            problem = self._matcher.get_error().splitlines()[0][:200]
            raise InputError("generate json_schema must be one that can be kept", problem)


def _byte_alphabet() -> dict[str, int]:
    """The characters in which byte-level tokenizers spell bytes. Source: Radford et al. 2019 (GPT-2), encoder.py."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    found = {chr(byte): byte for byte in plain}
    return found | {chr(256 + place): byte for place, byte in enumerate(others)}
