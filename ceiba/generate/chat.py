"""Messages of a chat → the prompt that an answer continues."""

from collections.abc import Sequence

from ceiba.fields import TokenField
from ceiba.fields.template import ChatTemplate, Message
from ceiba.fields.template import check_messages as check_messages

NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}
PLAIN_STOP = ("\nUser:", "\nSystem:")
"""Where an answer ends for a model without a template, which may write on for the other side."""


def template_of(field: TokenField) -> ChatTemplate | None:
    """The template of a field, if it has one."""
    if field.chat_template is None:
        return None
    return ChatTemplate(field.chat_template, field.trained, field.special, field.shift)


def plain_prompt(messages: Sequence[Message]) -> str:
    """A chat as a play, for a model that has no template of its own."""
    lines = [f"{NAMES[message['role']]}: {message['content']}" for message in messages]
    return "\n".join([*lines, "Assistant:"])


def plain_stop() -> tuple[str, ...]:
    """Where an answer ends for a model that has no template."""
    return PLAIN_STOP
