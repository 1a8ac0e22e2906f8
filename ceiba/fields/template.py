"""A chat template: messages → the one text that a language model reads, and where in it the answers stand."""

import json
import os
import selectors
import subprocess
import sys
import threading
import weakref
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from ceiba.base.errors import CeibaError, InputError

TEMPLATE_CHARACTERS, TEXT_CHARACTERS = 1 << 17, 1 << 20
SECONDS, MOST_SECONDS = 5.0, 60.0
"""How long a template may work, and how long it is waited for on a busy machine."""
ROLES = ("system", "user", "assistant")
ANSWERS = "assistant"
"""The role whose messages are answers."""
MARKS = {"system": "[SYSTEM]", "user": "[USER]", "assistant": "[ASSISTANT]"}
"""Tokens that begin a message where the tokenizer has them; elsewhere the role is spelled."""

Message = Mapping[str, str]


class Laid(NamedTuple):
    """A conversation as text, and the first and the last place (excluded) of each answer."""

    text: str
    answers: tuple[tuple[int, int], ...]


def default_template(tokens: Collection[str]) -> str:
    """The template of a tokenizer that came without one: each message on a line below its role, an answer ended by the
    token that ends a text. Roles are tokens of their own where the tokenizer has the three of `MARKS`."""
    has_marks = set(MARKS.values()) <= set(tokens)
    marks = {role: mark if has_marks else f"{role.capitalize()}:\n" for role, mark in MARKS.items()}
    return (
        f"{{% set marks = {json.dumps(marks)} %}}"
        "{% for message in messages %}{{ marks[message.role] }}{{ message.content }}"
        "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
        f"{{% if add_generation_prompt %}}{{{{ marks['{ANSWERS}'] }}}}{{% endif %}}"
    )


def check_messages(messages: Sequence[Any]) -> list[dict[str, str]]:
    """Messages as plain dicts.

    Raises: InputError if there is none, or one lacks a role that is known or a content that is text.
    """
    if not messages:
        raise InputError("a chat must hold a message", "none")
    for place, message in enumerate(messages, 1):
        is_one = isinstance(message, Mapping) and message.get("role") in ROLES
        if not is_one or not isinstance(message.get("content"), str):
            rule = f"message {place} must have a role ({', '.join(ROLES)}) and a content that is text"
            raise InputError(rule, repr(dict(message) if isinstance(message, Mapping) else message)[:80])
    return [{"role": message["role"], "content": message["content"]} for message in messages]


class ChatTemplate:
    """A template and the tokenizer it belongs to; it is rendered in a sandboxed process that is ended when it takes too
    long. `special` tells the ids of special tokens by what they are for, each `shift` above the tokenizer's own.

    Raises: InputError for a template that is too long.
    """

    def __init__(self, template: str, trained: str, special: Mapping[str, int], shift: int = 0):
        if len(template) > TEMPLATE_CHARACTERS:
            raise InputError("a chat template must be short", f"{len(template)} characters")
        self.template, self.shift = template, shift
        self.tokenizer = Tokenizer.from_str(trained)
        added = self.tokenizer.get_added_tokens_decoder()
        self.special = tuple(token.content for token in added.values() if token.special)
        self.special_ids = frozenset(id for id, token in added.items() if token.special)
        spelled = {role: added[id - shift].content for role, id in special.items() if id - shift in added}
        self.values = {"bos_token": spelled.get("begin", ""), "eos_token": spelled.get("end", ""),
                       "pad_token": spelled.get("padding", ""), "unk_token": spelled.get("unknown", "")}  # fmt: skip
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a chat, ready for an answer.

        Raises: InputError for messages that the template refuses, or that spell a special token, which would end
        them; CeibaError for a template that takes too long, too much memory, or writes too much.
        """
        return self._texts([(messages, True)])[0]

    def lay_out(self, conversations: Sequence[Sequence[Message]]) -> list[Laid]:
        """Whole conversations, up to their last answer; those without an answer are empty.

        Where an answer stands is told by the template itself: it begins where the text of the messages before it, ready
        for an answer, ends, and ends where the text with it ends.

        Raises: InputError also for a template that lays out a beginning otherwise than the whole.
        """
        asked: list[tuple[Sequence[Message], bool]] = []
        for messages in conversations:
            for place, message in enumerate(messages):
                if message["role"] == ANSWERS:
                    asked += [(messages[:place], True), (messages[: place + 1], False)]
        texts = iter(self._texts(asked))
        found = []
        for messages in conversations:
            count = sum(message["role"] == ANSWERS for message in messages)
            parts = [next(texts) for _ in range(2 * count)]
            if any(not parts[-1].startswith(part) for part in parts):
                rule = "the chat template must lay out a conversation message by message, to learn answers by"
                raise InputError(rule, "a beginning that it lays out otherwise", "Give rows of one answer")
            ends = [len(part) for part in parts]
            found.append(Laid(parts[-1] if parts else "", tuple(zip(ends[::2], ends[1::2], strict=True))))
        return found

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a chat, the template's special ones read as such."""
        found = self.tokenizer.encode(self.render(messages), add_special_tokens=False)
        return [id + self.shift for id in found.ids]

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            end(process, self._owner)

    def _texts(self, asked: Sequence[tuple[Sequence[Message], bool]]) -> list[str]:
        """The text of each (messages, whether it is to be ready for an answer)."""
        for messages, _ in asked:
            for message in messages:
                if found := [token for token in self.special if token in message["content"]]:
                    rule = "a message must not spell a special token"
                    raise InputError(rule, repr(found[0]), "Write it otherwise")
        if not asked:
            return []
        values: list[dict[str, Any]] = [
            {"messages": list(messages), "add_generation_prompt": ready, **self.values} for messages, ready in asked
        ]
        answer = self._ask(json.dumps({"template": self.template, "values": values}))
        if "error" in answer:
            raise InputError("the chat template must take the messages", answer["error"])
        texts: list[str] = answer["texts"]
        if most := max((len(text) for text in texts if len(text) > TEXT_CHARACTERS), default=0):
            raise CeibaError("a chat template must not write this much", f"{most} characters")
        return texts

    def _ask(self, line: str) -> dict[str, Any]:
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(line + "\n")
                process.stdin.flush()
                with selectors.DefaultSelector() as waiting:
                    waiting.register(process.stdout, selectors.EVENT_READ)
                    answer = process.stdout.readline() if waiting.select(MOST_SECONDS) else ""
            except BrokenPipeError:
                answer = ""
            if not answer:
                self.close()
                raise CeibaError(f"a chat template must be done in {SECONDS:g} s and little memory", "no answer")
            found: dict[str, Any] = json.loads(answer)
            return found

    def _running(self) -> subprocess.Popen[str]:
        """The process; a fork of this one has its own, since two must not speak into one pipe."""
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("render.py")), str(SECONDS)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            self._owner = os.getpid()
            weakref.finalize(self, end, self._process, self._owner)
        return self._process


def end(process: "subprocess.Popen[str]", owner: int) -> None:
    """End a process and close its pipes, unless it has ended or belongs to another process than this one."""
    if process.returncode is None and owner == os.getpid():
        process.kill()
        process.communicate()
