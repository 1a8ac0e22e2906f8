"""How the table encoders embed number columns."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ceiba.base.spec import Spec, one_of
from ceiba.fields import TableLayout
from ceiba.layers import PeriodicNumbers, PiecewiseNumbers, PlainNumbers, ScalarNumbers

Numbers = PlainNumbers | ScalarNumbers | PiecewiseNumbers | PeriodicNumbers


class ScalarSpec(Spec):
    """The number as it is; where every column must be a vector, x w + b."""

    type: Literal["scalar"] = "scalar"

    def build(self, layout: TableLayout, width: int | None = None) -> Numbers:
        return PlainNumbers() if width is None else ScalarNumbers(layout.num_numbers, width)


class PiecewiseSpec(Spec):
    """Piecewise linear encoding over the bins that the columns were fitted with, then a linear layer and ReLU.

    A column that was fitted without bins is one endless bin.
    """

    type: Literal["piecewise"] = "piecewise"
    width: int = Field(16, ge=1)
    """Width of each column's vector; the tokens encoder uses the model's dim instead."""

    def build(self, layout: TableLayout, width: int | None = None) -> Numbers:
        return PiecewiseNumbers(layout.edges, width or self.width)


class PeriodicSpec(Spec):
    """Sines and cosines of learnt frequencies, then a linear layer and ReLU."""

    type: Literal["periodic"] = "periodic"
    width: int = Field(16, ge=1)
    """Width of each column's vector; the tokens encoder uses the model's dim instead."""
    frequencies: int = Field(24, ge=1)
    """Frequencies of each column."""
    deviation: float = Field(0.1, gt=0)
    """Standard deviation of the frequencies at the start, in turns per unit of the encoded number."""

    def build(self, layout: TableLayout, width: int | None = None) -> Numbers:
        return PeriodicNumbers(layout.num_numbers, width or self.width, self.frequencies, self.deviation)


NUMBERS: dict[str, type[Spec]] = {"scalar": ScalarSpec, "piecewise": PiecewiseSpec, "periodic": PeriodicSpec}

if TYPE_CHECKING:
    NumbersSpec = ScalarSpec | PiecewiseSpec | PeriodicSpec
else:
    NumbersSpec = one_of(NUMBERS, "scalar")
