"""TuneSpec: the `tune` of a recipe: which of its keys are searched, where, and for how long."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ceiba.base.spec import Spec, one_of

Value = bool | int | float | str | None


class _RangeSpec(Spec):
    """Numbers between two ends, both included."""

    low: Any
    high: Any
    log: bool

    @model_validator(mode="after")
    def in_order(self) -> "_RangeSpec":
        """A range must hold numbers, and a logarithmic one only positive ones."""
        if not self.low < self.high:
            raise _broken("must have a low below its high", f"{self.low} and {self.high}", "Swap or change them")
        if self.log and self.low <= 0:
            raise _broken("must have a low above 0 where log is true", self.low, "Raise low, or leave log out")
        return self

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that show whether the key takes them."""
        return self.low, self.high


class FloatSpec(_RangeSpec):
    """A number."""

    type: Literal["float"] = "float"
    low: float
    """The least value."""
    high: float
    """The greatest value."""
    log: bool = False
    """Whether a factor counts rather than a difference: as much between 0.001 and 0.01 as between 0.01 and 0.1."""


class IntSpec(_RangeSpec):
    """A whole number."""

    type: Literal["int"] = "int"
    low: int
    """The least value."""
    high: int
    """The greatest value."""
    log: bool = False
    """Whether a factor counts rather than a difference."""


class ChoiceSpec(Spec):
    """One of a list, in no order."""

    type: Literal["choice"] = "choice"
    choices: tuple[Value, ...] = Field(min_length=1)
    """The values."""

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that show whether the key takes them."""
        return self.choices


KNOBS: dict[str, type[Spec]] = {"float": FloatSpec, "int": IntSpec, "choice": ChoiceSpec}


def _broken(rule: str, got: object, do: str) -> PydanticCustomError:
    return PydanticCustomError("knob", rule, {"got": got, "do": do})


def _told(value: object) -> object:
    """The type that nobody wrote: a list is a choice, two whole numbers are whole numbers."""
    if isinstance(value, list | tuple):
        return {"type": "choice", "choices": value}
    if isinstance(value, Mapping) and "type" not in value:
        ends = [value.get("low"), value.get("high")]
        whole = all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
        return {"type": "choice" if "choices" in value else "int" if whole else "float", **value}
    return value


class TuneSpec(Spec):
    """What `ceiba tune` searches."""

    trials: int = Field(20, ge=1)
    """How many trials there are, those of other workers and of earlier calls among them."""
    seconds: float | None = Field(None, gt=0)
    """Seconds after which no new trial begins; nothing: no limit."""
    watch: Literal["loss", "metric"] | None = None
    """The validation figure to better: the loss, or the first output's main metric; nothing: as `train.watch`."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """What ends a trial early: a worse figure than half of the others had (median), successive halving, or nothing."""
    space: dict[str, Annotated[one_of(KNOBS), BeforeValidator(_told)]] | None = Field(None, min_length=1)  # type: ignore[valid-type]
    """Path of a key → where its value is searched; nothing: learning rate, decay, batch, dropout and width."""
