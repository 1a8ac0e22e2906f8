"""Messages of a chat → the prompt that an answer continues."""

import json
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ceiba.base.errors import CeibaError, InputError
from ceiba.fields import TokenField

TEMPLATE_CHARACTERS, TEXT_CHARACTERS = 1 << 17, 1 << 20
SECONDS = 5.0
"""How long a template may take; the first one also waits for Python to start."""
ROLES = ("system", "user", "assistant")
NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}
PLAIN_STOP = ("\nUser:", "\nSystem:")
"""Where an answer ends for a model without a template, which may write on for the other side."""

Message = Mapping[str, str]


def check_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as plain dicts.

    Raises: InputError if there is none, or one lacks a role that is known or a content that is text.
    """
    if not messages:
        raise InputError("a chat must hold a message", "none")
    for place, message in enumerate(messages, 1):
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            rule = f"message {place} must have a role ({', '.join(ROLES)}) and a content that is text"
            raise InputError(rule, repr(dict(message))[:80])
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def plain_prompt(messages: Sequence[Message]) -> str:
    """A chat as a play, for a model that has no template of its own."""
    lines = [f"{NAMES[message['role']]}: {message['content']}" for message in messages]
    return "\n".join([*lines, "Assistant:"])


def plain_stop() -> tuple[str, ...]:
    """Where an answer ends for a model that has no template."""
    return PLAIN_STOP


class ChatTemplate:
    """A field's template, rendered in a sandboxed process that is ended when it takes too long.

    Raises: InputError for a template that is too long.
    """

    def __init__(self, field: TokenField):
        assert field.chat_template is not None
        if len(field.chat_template) > TEMPLATE_CHARACTERS:
            raise InputError("a chat template must be short", f"{len(field.chat_template)} characters")
        self.template, self.shift = field.chat_template, field.shift
        self.tokenizer = Tokenizer.from_str(field.trained)
        added = self.tokenizer.get_added_tokens_decoder()
        self.special = tuple(token.content for token in added.values() if token.special)
        spelled = {
            role: added[id - field.shift].content for role, id in field.special.items() if id - field.shift in added
        }
        self.values = {"bos_token": spelled.get("begin", ""), "eos_token": spelled.get("end", ""),
                       "pad_token": spelled.get("padding", ""), "unk_token": spelled.get("unknown", "")}  # fmt: skip
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a chat, ready for an answer.

        Raises: InputError for messages that the template refuses, or that spell a special token, which would end
        them; CeibaError for a template that takes too long, too much memory, or writes too much.
        """
        for message in messages:
            if found := [token for token in self.special if token in message["content"]]:
                raise InputError("a message must not spell a special token", repr(found[0]), "Write it otherwise")
        values: dict[str, Any] = {"messages": list(messages), "add_generation_prompt": True, **self.values}
        answer = self._ask(json.dumps({"template": self.template, "values": values}))
        if "error" in answer:
            raise InputError("the chat template must take the messages", answer["error"])
        if len(answer["text"]) > TEXT_CHARACTERS:
            raise CeibaError("a chat template must not write this much", f"{len(answer['text'])} characters")
        return str(answer["text"])

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a chat, the template's special ones read as such."""
        found = self.tokenizer.encode(self.render(messages), add_special_tokens=False)
        return [id + self.shift for id in found.ids]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, line: str) -> dict[str, str]:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", str(Path(__file__).with_name("render.py"))],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                )  # fmt: skip
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
                with selectors.DefaultSelector() as waiting:
                    waiting.register(self._process.stdout, selectors.EVENT_READ)
                    answer = self._process.stdout.readline() if waiting.select(SECONDS) else ""
            except BrokenPipeError:
                answer = ""
            if not answer:
                self.close()
                raise CeibaError(f"a chat template must be done in {SECONDS:g} s and little memory", "no answer")
            found: dict[str, str] = json.loads(answer)
            return found
