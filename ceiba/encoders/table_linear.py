"""Table encoder `linear`: the simplest, for a model that is linear in its columns."""

from typing import Literal

from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.numbers import ScalarSpec
from ceiba.encoders.table_features import TableFeatures, some_columns
from ceiba.fields import TableLayout
from ceiba.layers import Tokens, one_token


class TableLinearSpec(Spec):
    """A linear map of the numbers and of a vector for each category; gives one token. With no trunk: a linear model."""

    type: Literal["linear"] = "linear"

    def build(self, layout: TableLayout, dim: int) -> "TableLinear":
        return TableLinear(some_columns(layout), dim)


class TableLinear(Encoder):
    """A linear map of all columns of a table."""

    def __init__(self, layout: TableLayout, dim: int):
        super().__init__()
        self.features = TableFeatures(layout, ScalarSpec(), dim)
        self.linear = nn.Linear(self.features.width, dim)

    def forward(self, parts: Parts) -> Tokens:
        return one_token(self.linear(self.features(parts)))
