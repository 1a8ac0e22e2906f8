"""Table encoder `mlp`: a perceptron over all columns."""

from typing import Literal

from pydantic import Field

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.numbers import NumbersSpec, ScalarSpec
from ceiba.encoders.table_features import TableFeatures, some_columns
from ceiba.fields import TableLayout
from ceiba.layers import Activation, Mlp, Norm, Tokens, one_token


class TableMlpSpec(Spec):
    """Every column side by side into a perceptron; gives one token. Source: Gorishniy et al. 2021, arXiv:2106.11959."""

    type: Literal["mlp"] = "mlp"
    numbers: NumbersSpec = ScalarSpec()
    """How numbers are embedded."""
    category_width: int = Field(16, ge=1)
    """Width of each category column's vector."""
    layers: int = Field(2, ge=1)
    """Dense layers; the last one is as wide as the model."""
    width: int = Field(256, ge=1)
    """Width of all dense layers but the last."""
    activation: Activation = "relu"
    """What follows each dense layer."""
    norm: Norm = "none"
    """Normalization before each activation."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped after each dense layer while training."""

    def build(self, layout: TableLayout, dim: int) -> "TableMlp":
        return TableMlp(self, some_columns(layout), dim)


class TableMlp(Encoder):
    """A perceptron over all columns of a table."""

    def __init__(self, spec: TableMlpSpec, layout: TableLayout, dim: int):
        super().__init__()
        self.features = TableFeatures(layout, spec.numbers, spec.category_width)
        widths = [spec.width] * (spec.layers - 1) + [dim]
        self.mlp = Mlp(self.features.width, widths, spec.activation, spec.norm, spec.dropout)

    def forward(self, parts: Parts) -> Tokens:
        return one_token(self.mlp(self.features(parts)))
