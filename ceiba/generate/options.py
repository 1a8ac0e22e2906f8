"""What a request may ask of the one who writes."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from ceiba.base.errors import InputError
from ceiba.base.spec import Spec

MOST_STOPS, MOST_ALTERNATIVES = 16, 20


class GenerateOptions(Spec):
    """How one text is continued. Rules act in this order: repetition penalty, temperature, top_k, top_p, min_p."""

    adapter: str | None = None
    """The adapter beside the model that writes the text, by name; null: the model alone."""
    max_tokens: int = Field(128, ge=0, le=1_000_000)
    """Tokens written at most."""
    temperature: float = Field(0.0, ge=0, le=100)
    """What logits are divided by; 0 takes the likeliest token each time (greedy)."""
    top_k: int | None = Field(None, ge=1)
    """Draw among this many likeliest tokens; null: all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw among the likeliest tokens that together have this share. Source: Holtzman et al. 2020, arXiv:1904.09751."""
    min_p: float = Field(0.0, ge=0, le=1)
    """Draw among tokens at least this share as likely as the likeliest.
    Source: Nguyen et al. 2024, arXiv:2407.01082."""
    repetition_penalty: float = Field(1.0, gt=0, le=100)
    """What the logits of tokens that were there before are divided by where positive, else multiplied by.
    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of the draws: a request's seed gives its text, whatever else is written at the same time."""
    stop: tuple[str, ...] = Field((), max_length=MOST_STOPS)
    """Strings before which the text ends."""
    ignore_end: bool = False
    """Whether to write on after the token that ends a text."""
    logprobs: int | None = Field(None, ge=0, le=MOST_ALTERNATIVES)
    """Tell the log-probability of each token, and of this many likeliest ones in its place; null: none."""
    beams: int = Field(1, ge=1, le=64)
    """Beginnings that are kept at every step in search of the most probable text; 1: no search."""
    length_penalty: float = Field(1.0, ge=-10, le=10)
    """Of a search: texts are compared by log-probability over length to this power; more favors longer ones."""
    json_schema: dict[str, Any] | None = None
    """Write a JSON value of this schema, and nothing else; a text that is cut off is the beginning of one."""
    when_full: Literal["stop", "slide"] = "stop"
    """When prompt and text fill the context: stop, or slide: forget the older half and read the newer one again."""

    @property
    def is_greedy(self) -> bool:
        """Whether no token is drawn."""
        return self.temperature == 0

    @property
    def is_plain(self) -> bool:
        """Whether each token is the likeliest one, with nothing to tell of it."""
        is_free = self.repetition_penalty == 1 and self.json_schema is None
        return self.is_greedy and is_free and self.logprobs is None


def read_options(given: Mapping[str, Any] | GenerateOptions | None) -> GenerateOptions:
    """Options from plain values; a string is a list of one to `stop`.

    Raises: InputError that names the first option that is wrong.
    """
    if isinstance(given, GenerateOptions):
        return given
    values = dict(given or {})
    if isinstance(values.get("stop"), str):
        values["stop"] = (values["stop"],)
    try:
        options = GenerateOptions.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name, do = ".".join(map(str, first["loc"])), (first.get("ctx") or {}).get("do")
        raise InputError(f"generate {name or 'options'}: {first['msg']}", repr(first["input"])[:80], do) from error
    if any(not stop for stop in options.stop):
        raise InputError("generate stop: a stop string must not be empty", "''", "Leave it out")
    if options.beams > 1 and not (options.is_plain and options.when_full == "stop"):
        rule = "generate beams: a search takes no temperature, penalty, logprobs, schema or slide"
        raise InputError(rule, f"{options.beams} beams", "Use beams: 1, or leave the others out")
    return options
