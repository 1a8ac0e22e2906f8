"""`ceiba chat`: talk with a language model on a terminal."""

import sys
from typing import Any

from ceiba.cli import resolve
from ceiba.cli.generate import chosen, opened, writing
from ceiba.cli.words import finish, words

LEAST_ANSWER = 16
"""Tokens that a prompt must leave for the answer; older messages are forgotten until it does."""


def main(arguments: list[str]) -> int:
    """Read a line, write an answer, until the input ends or says /exit."""
    parser = words(
        "chat", "Talk with a language model: a line from you, an answer from it. /clear forgets, /exit ends."
    )
    writing(parser)
    parser.add_argument("--system", metavar="TEXT", help="what the model is told first")
    parser.add_argument("--message", action="append", metavar="TEXT", help="say this instead of typing (repeatable)")
    given = parser.parse_args(arguments)
    options = resolve("ceiba.generate.options:read_options")(chosen(given))
    generator = opened(given, 1)
    start = [{"role": "system", "content": given.system}] if given.system else []
    messages = list(start)
    for line in given.message or lines():
        if line in ("/exit", "/quit"):
            break
        if line == "/clear":
            messages = list(start)
            continue
        messages.append({"role": "user", "content": line})
        messages = fitting(generator, messages, len(start), options.adapter)
        answer = ""
        for piece in generator.stream(generator.chat(messages, options.adapter), **chat_options(generator, options)):
            print(piece.text, end="", flush=True)
            answer += piece.text
        print()
        messages.append({"role": "assistant", "content": answer.strip()})
    return finish(given.json, {"messages": messages, "weights": generator.weights, "notes": list(generator.notes)})


def lines() -> Any:
    """What a person types; a terminal shows that it waits."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def fitting(
    generator: Any, messages: list[dict[str, str]], first: int, adapter: str | None = None
) -> list[dict[str, str]]:
    """The messages without the oldest ones, so that prompt and answer fit the context; the last one always stays."""

    def length() -> int:
        return int(generator.count(generator.chat(messages, adapter)))

    while len(messages) > first + 1 and length() + LEAST_ANSWER > generator.context:
        messages = [*messages[:first], *messages[first + 2 :]]
    return messages


def chat_options(generator: Any, options: Any) -> dict[str, Any]:
    """The options; a model that has no template must also be stopped where it writes on for the other side."""
    found: dict[str, Any] = options.model_dump()
    if generator.voice(options.adapter).template is None:
        found["stop"] = (*found["stop"], *resolve("ceiba.generate.chat:plain_stop")())
    return found
