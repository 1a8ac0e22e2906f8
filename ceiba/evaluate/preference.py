"""Preferences beside those of the model that a training began with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from ceiba.evaluate.gather import Answers
from ceiba.read import Frame

Array = NDArray[Any]


@dataclass(frozen=True)
class PreferenceBaselines:
    """The same answers by the model as it was before: what is learnt is the difference."""

    names: tuple[str, ...]
    begin: Callable[[], Answers]
    """Makes that model again, when it is first asked; not while a training draws its random numbers."""
    notes: tuple[str, ...] = ()

    @cached_property
    def start(self) -> Answers:
        """The model as it was."""
        return self.begin()

    def scores(self, frame: Frame) -> dict[str, dict[str, Array]]:
        """{"constant": {output: scores of every row}}."""
        logits = self.start.logits(frame)
        return {"constant": {name: self.start.answers[name].scores(logits[name]) for name in self.names}}

    def about(self) -> Mapping[str, Mapping[str, Any]]:
        """{output: {"constant": what it is}}."""
        return {name: {"constant": {"model": "the model that it began with"}} for name in self.names}
