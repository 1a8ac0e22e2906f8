"""Chats as tokens: the answers are targets, to the token that ends them; the template decides."""

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base.errors import DataError, RecipeError
from ceiba.fields import ChatField, ChatSpec, TextSpec, TokenField, load_field

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hé?"},
    {"role": "assistant", "content": "日本"},
    {"role": "user", "content": "So?"},
    {"role": "assistant", "content": "No."},
    {"role": "user", "content": "not answered"},
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|im_end|>{% endgeneration %}\n{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETS = "{% for m in messages[-2:] %}{{ m.content }}<|im_end|>{% endfor %}"


def fitted(*special: str, max_tokens: int = 200, template: str | None = None, **options: Any) -> ChatField:
    tokenizer = {"type": "byte", "special": special}
    spec = ChatSpec.model_validate({"tokenizer": tokenizer, "max_tokens": max_tokens, **options})
    texts = TextSpec.model_validate({"tokenizer": tokenizer, "max_tokens": max_tokens, "whole": True}).fit(
        [pa.array(["a"])]
    )
    assert isinstance(texts, TokenField)
    return spec.on(dataclasses.replace(texts, chat_template=template))


def column(*rows: Any) -> pa.Array:
    return pa.array([json.dumps(row) for row in rows])


def told(field: ChatField, row: Any, part: str = "targets") -> str:
    return field.decode(field.encode(column(row))[part].values, keep_special=True)


@pytest.mark.parametrize(
    ("special", "template", "read", "answers"),
    [
        (("[END]",), None, "System:\nBe brief.\nUser:\nHé?\nAssistant:\n日本[END]\nUser:\nSo?\nAssistant:\nNo.",
         "日本[END]No.[END]"),
        (("[END]", "[SYSTEM]", "[USER]", "[ASSISTANT]"), None,
         "[SYSTEM]Be brief.\n[USER]Hé?\n[ASSISTANT]日本[END]\n[USER]So?\n[ASSISTANT]No.", "日本[END]No.[END]"),
        (("<|im_start|>", "<|im_end|>"), CHATML, None, "日本<|im_end|>No.<|im_end|>"),
        (("<|im_start|>", "<|im_end|>"), MARKED, None, "日本<|im_end|>No.<|im_end|>"),
    ],
)  # fmt: skip
def test_answers_are_targets_to_the_token_that_ends_them(
    special: tuple[str, ...], template: str | None, read: str | None, answers: str
) -> None:
    field = fitted(*special, template=template)
    encoded = field.encode(column(TALK))
    ids, targets = encoded["ids"].values, encoded["targets"].values
    assert told(field, TALK) == answers
    assert read is None or told(field, TALK, "ids") == read
    assert (targets[:-1][targets[:-1] > 0] == ids[1:][targets[:-1] > 0]).all(), "a target is the next token"
    assert field.special["turn"] == field.tokenizer.token_to_id(special[-1] if template else special[0])


def test_the_template_lives_in_the_files_of_the_field() -> None:
    field = fitted("[END]", pack=False)
    again = load_field(field.to_json(), field.files())
    assert isinstance(again, ChatField)
    assert not again.pack
    assert again.chat_template == field.chat_template
    assert told(again, TALK) == told(field, TALK)


def test_what_is_longer_is_cut_and_said_and_what_keeps_no_answer_is_empty() -> None:
    field = fitted("[END]", max_tokens=50)
    short, cut, gone = field.spoken(column(TALK[1:3], TALK, [{"role": "user", "content": "x" * 60}, TALK[2]]))
    assert (short.is_cut, cut.is_cut, gone.is_cut) == (False, True, True)
    assert (len(cut.ids), cut.targets.any(), len(gone.ids)) == (50, True, 0)
    assert field.encode(column(TALK[:2]))["ids"].lengths.tolist() == [0], "nobody answers"


def test_a_prompt_and_its_answer_are_a_chat_however_they_are_written() -> None:
    field, prompt, answer = fitted("[END]"), TALK[1]["content"], TALK[2]["content"]
    expected = told(field, TALK[1:3], "ids")
    for row in (
        [prompt, answer],
        [json.dumps([TALK[1]]), answer],
        [prompt, json.dumps([TALK[2]])],
        [prompt, json.dumps(TALK[1:3])],
    ):
        assert told(field, row, "ids") == expected


def test_of_a_pair_the_two_answers_alone_are_targets_not_what_was_said_before() -> None:
    field = fitted("[END]", pairs=True)
    targets = field.encode(column([json.dumps(TALK[1:4]), "Yes.", "No."]))["targets"].values
    assert field.decode(targets[targets > 0], keep_special=True) == "Yes.[END]"
    assert field.decode(-targets[targets < 0], keep_special=True) == "No.[END]"


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ([{"role": "king", "content": "x"}], "row 2 message 1 must have a role"),
        ([{"role": "user", "content": None}], "content that is text"),
        ([{"role": "user", "content": "[END] obey"}, TALK[2]], "must not spell a special token"),
        ({"role": "user"}, "lists of messages"),
        (["one", "two", "three"], "must have a role"),
        ([], "must hold a message"),
    ],
)
def test_a_row_that_is_no_chat_is_named(row: Any, rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        fitted("[END]").encode(column(TALK, row))


def test_text_that_is_no_json_is_no_chat() -> None:
    with pytest.raises(DataError, match=r"lists of messages \(row 1\). Got 'hello'"):
        fitted("[END]").encode(pa.array(["hello"]))


def test_a_template_must_end_answers_and_keep_beginnings() -> None:
    with pytest.raises(RecipeError, match="must end an answer with a special token"):
        fitted("[X]")
    with pytest.raises(DataError, match="message by message"):
        fitted("<|im_end|>", template=FORGETS).encode(column(TALK))


def test_ids_of_a_folder_are_shifted_alike() -> None:
    field = fitted("<|im_start|>", "<|im_end|>", template=CHATML)
    shifted = dataclasses.replace(
        field, shift=3, special={role: id + 3 for role, id in field.special.items()}, vocab=field.vocab + 3
    )
    before, after = field.encode(column(TALK)), shifted.encode(column(TALK))
    assert (after["ids"].values == before["ids"].values + 3).all()
    targets = before["targets"].values
    np.testing.assert_array_equal(after["targets"].values, np.where(targets > 0, targets + 3, 0))
