"""Columns that hold chats → conversations: lists of messages, each with a role and a content."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from ceiba.base.errors import DataError, InputError
from ceiba.fields.columns import plain, shown
from ceiba.fields.template import ANSWERS, check_messages

Messages = list[dict[str, str]]
LISTED = "[{"
"""How messages begin that are spelled as JSON."""


class Chosen(NamedTuple):
    """Two conversations that differ in their last message alone: an answer, and one that is worse."""

    chosen: Messages
    rejected: Messages


def conversations(column: pa.Array) -> list[Messages | None]:
    """The conversation of each row, None where there is none: lists of {role, content}, as they are or spelled as JSON,
    or what `clean: chat` makes of a prompt and its answer.

    Raises: DataError for anything else, naming the first row.
    """
    return [None if value is None else _at(row, value, _conversation) for row, value in _rows(column)]


def choices(column: pa.Array) -> list[Chosen | None]:
    """The two conversations of each row, None where there are none: what `clean: chat` makes of a prompt, the answer
    that is chosen and the one that is rejected.

    Raises: DataError for anything else, naming the first row.
    """
    return [None if value is None else _at(row, value, _choice) for row, value in _rows(column)]


def texts(column: pa.Array) -> pa.Array:
    """All that is said, a text a message: what tokens are learnt from."""
    said: list[str] = []
    for row, value in _rows(column):
        if value is not None:
            parts = [_at(row, value, _choice).chosen] if is_choice(value) else [_at(row, value, _conversation)]
            said += [message["content"] for part in parts for message in part]
    return pa.array(said, pa.string())


def is_choice(value: Any) -> bool:
    """Whether a row is a prompt with two answers."""
    return len(value) == 3 and all(isinstance(part, str) for part in value)


def _rows(column: pa.Array) -> Iterator[tuple[int, Any]]:
    column = plain(column)
    spelled = pa.types.is_string(column.type)
    for row, value in enumerate(column.to_pylist()):
        yield row, _spelled(row, value) if spelled else value


def _spelled(row: int, value: str | None) -> Any:
    if not value:
        return None
    try:
        return json.loads(value)
    except ValueError as error:
        raise _no_chat(row, shown(value)) from error


def _no_chat(row: int, got: str) -> DataError:
    do = "Name the columns of prompt and answer: clean: [{chat: {NAME: [prompt, answer]}}]"
    return DataError(f"must hold lists of messages (row {row + 1})", got, do)


def _at(row: int, value: Any, read: Any) -> Any:
    if not isinstance(value, list):
        raise _no_chat(row, shown(value))
    try:
        return read(value)
    except InputError as error:
        raise DataError(f"must hold chats: in row {row + 1} {error.rule}", error.got, error.do) from error


def _conversation(value: Sequence[Any]) -> Messages:
    if len(value) == 2 and all(isinstance(part, str) for part in value):
        prompt = _said(value[0], "user")
        return _answered(prompt, value[1])
    return check_messages(value)


def _choice(value: Sequence[Any]) -> Chosen:
    if not is_choice(value):
        rule = "a prompt must have two answers, the one that is chosen and the one that is rejected"
        raise InputError(rule, shown(value), "Use clean: [{chat: {NAME: [prompt, chosen, rejected]}}]")
    prompt = _said(value[0], "user")
    return Chosen(_answered(prompt, value[1]), _answered(prompt, value[2]))


def _said(text: str, role: str) -> Messages:
    """Messages that are spelled as JSON; any other text is one message. No text is none."""
    if text.startswith(LISTED):
        try:
            return check_messages(json.loads(text))
        except ValueError:
            pass
    return [{"role": role, "content": text}] if text else []


def _answered(prompt: Messages, answer: str) -> Messages:
    """The prompt and its answer, which may be the whole conversation, the prompt included."""
    last = _said(answer, ANSWERS)
    whole = last if last[: len(prompt)] == prompt and len(last) > len(prompt) else [*prompt, *last]
    if not whole or whole[-1]["role"] != ANSWERS:
        raise InputError(f"the last message must be an answer (role: {ANSWERS})", shown(answer))
    return whole
