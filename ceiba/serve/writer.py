"""What a server needs of whoever writes text; the engine behind it is handed in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


class Piece(Protocol):
    """What is new in a text: characters, the tokens that brought them, and in the last piece why the text ends."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> Sequence[Any]: ...
    @property
    def finish(self) -> str | None: ...


Deliver = Callable[[Piece | BaseException], None]


class Stream(Protocol):
    """A text that is being written."""

    def cancel(self) -> None:
        """Give it up."""


Prompt = str | list[int]


class Writer(Protocol):
    """A language model that continues prompts, for many at once."""

    @property
    def context(self) -> int:
        """Tokens that a prompt and its text may have together."""

    def submit(self, prompt: Prompt, options: Mapping[str, Any], deliver: Deliver) -> Stream:
        """Continue a prompt; `deliver` is called with each piece, or with the error that ended it, from any thread.

        Raises: InputError for a prompt or options that are wrong; CeibaError if too many wait.
        """

    def count(self, prompt: Prompt) -> int:
        """The tokens of a prompt."""

    def chat(self, messages: Sequence[Mapping[str, str]]) -> Prompt:
        """Messages {"role", "content"} as a prompt that an answer continues.

        Raises: InputError for messages that the model's template refuses.
        """


class Base(Writer, Protocol):
    """A writer with adapters beside it."""

    def by(self, adapter: str) -> Writer:
        """Its texts by one of them."""


@runtime_checkable
class Embedder(Writer, Protocol):
    """A writer that also gives a text's vector."""

    def embed(self, prompts: Sequence[Prompt]) -> Sequence[Sequence[float]]:
        """One vector for each text."""
