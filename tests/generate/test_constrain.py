"""Whatever the net would rather write, what it writes is JSON of the schema."""

import json
from typing import Any

import pyarrow as pa
import pytest

from ceiba.base.errors import InputError
from ceiba.fields import TextSpec, TokenField
from ceiba.generate import Generator
from ceiba.generate.constrain import Vocabulary
from tests.generate.conftest import small_model

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 3},
        "kind": {"enum": ["cat", "dog"]},
        "ages": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 3},
        "known": {"type": "boolean"},
    },
    "required": ["name", "kind", "ages", "known"],
    "additionalProperties": False,
}
TEXTS = ['{"name": "to be", "kind": [1, 2.5e-3, null, true, false]}', "abcdefghijklmnopqrstuvwxyz 0123456789 ,:\\\n"]


def writer(tokenizer: dict[str, Any]) -> Generator:
    field = TextSpec.model_validate({"tokenizer": tokenizer, "max_tokens": 64}).fit([pa.array(TEXTS)])
    assert isinstance(field, TokenField)
    return Generator(small_model(field.vocab), "text", field, max_rows=4)


@pytest.mark.parametrize(
    "tokenizer",
    [{"type": "bpe", "vocab": 300, "min_count": 1}, {"type": "character"}, {"type": "byte", "special": ["[END]"]}],
    ids=["bpe", "character", "byte"],
)
def test_every_text_is_json_of_the_schema(tokenizer: dict[str, Any]) -> None:
    generator = writer(tokenizer)
    for seed in range(3):
        found = generator.generate(
            "abc", json_schema=SCHEMA, temperature=1.5, seed=seed, max_tokens=400, when_full="slide"
        )
        assert found.finish == "stop"
        value = json.loads(found.text)
        assert set(value) == set(SCHEMA["required"])
        assert value["kind"] in ("cat", "dog")
        assert len(value["name"]) <= 3
        assert isinstance(value["known"], bool)
        assert len(value["ages"]) <= 3
        assert all(isinstance(age, int) and 0 <= age <= 99 for age in value["ages"])
    free = generator.generate("abc", temperature=1.5, max_tokens=40)
    assert not free.text.startswith("{"), "the net must not write JSON by itself for this test to say anything"


def test_requests_with_and_without_a_schema_share_a_batch() -> None:
    generator = writer({"type": "character"})
    options = {"max_tokens": 100, "temperature": 1.0, "when_full": "slide"}
    with generator.engine() as engine:
        streams = [
            engine.submit("abc", {**options, "seed": seed} | ({"json_schema": SCHEMA} if seed % 2 else {}))
            for seed in range(4)
        ]
        found = [stream.result() for stream in streams]
    for seed, one in enumerate(found):
        alone = {"json_schema": SCHEMA} if seed % 2 else {}
        assert one == generator.generate("abc", **options, seed=seed, **alone)


def test_the_bytes_of_tokens_spell_the_text() -> None:
    for tokenizer in ({"type": "bpe", "vocab": 300, "min_count": 1}, {"type": "character"}, {"type": "byte"}):
        field = writer(tokenizer).field
        tokens = Vocabulary(field).tokens
        for text in (*TEXTS, "to be"):
            (ids,) = field.token_ids([text])
            assert b"".join(tokens[id] for id in ids) == text.encode()


@pytest.mark.parametrize(
    "schema", [{"type": "wizard"}, {"$ref": "http://example.org/x.json"}, {"enum": ["a"] * 20_000}]
)
def test_a_schema_that_cannot_be_kept_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="json_schema"):
        writer({"type": "character"}).generate("abc", json_schema=schema)
