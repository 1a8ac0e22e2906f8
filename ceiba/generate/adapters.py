"""Adapters beside a language model, one of which a text may be written by."""

from dataclasses import dataclass

from torch import Tensor

from ceiba.fields import TokenField
from ceiba.fields.template import ChatTemplate
from ceiba.generate.chat import template_of
from ceiba.surgery.adapters import Pairs


@dataclass(frozen=True)
class Adapter:
    """What was learnt beside a language model."""

    pairs: Pairs
    field: TokenField
    """The model's tokens, and what the adapter learnt of them: which one ends a text, how chats are laid out."""

    def like(self, other: Tensor) -> "Adapter":
        """The same on the device and of the kind of another tensor."""
        return Adapter({path: (down.to(other), up.to(other)) for path, (down, up) in self.pairs.items()}, self.field)


@dataclass(frozen=True)
class Voice:
    """How texts begin, end and are laid out as chats."""

    start: int | None
    end: int | None
    template: ChatTemplate | None


def voice_of(field: TokenField) -> Voice:
    """The voice of a model or an adapter that learnt a field."""
    special = field.special
    return Voice(special.get("begin", special.get("end")), special.get("turn", special.get("end")), template_of(field))
