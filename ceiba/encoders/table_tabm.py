"""Table encoder `tabm`: many perceptrons in one, which share most of their weights."""

from typing import Literal

from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.numbers import NumbersSpec, ScalarSpec
from ceiba.encoders.table_features import TableFeatures, some_columns
from ceiba.fields import TableLayout
from ceiba.layers import ACTIVATIONS, Activation, Dropout, EnsembleLinear, Tokens


class TabmSpec(Spec):
    """An ensemble of perceptrons, trained together, each with a head of its own; gives one token a member.

    Source: Gorishniy et al. 2024, arXiv:2410.24210, section 3.
    """

    type: Literal["tabm"] = "tabm"
    members: int = Field(16, ge=2)
    """Perceptrons in the ensemble."""
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
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped after each dense layer while training."""

    def build(self, layout: TableLayout, dim: int) -> "Tabm":
        return Tabm(self, some_columns(layout), dim)


class Tabm(Encoder):
    """An ensemble of perceptrons over all columns of a table; the members differ from the first layer on."""

    def __init__(self, spec: TabmSpec, layout: TableLayout, dim: int):
        super().__init__()
        self.members = spec.members
        self.features = TableFeatures(layout, spec.numbers, spec.category_width)
        sizes = [self.features.width, *[spec.width] * (spec.layers - 1), dim]
        self.layers = nn.Sequential()
        for place in range(spec.layers):
            start: Literal["one", "normal"] = "one" if place else "normal"
            self.layers.append(EnsembleLinear(sizes[place], sizes[place + 1], spec.members, start))
            self.layers.append(ACTIVATIONS[spec.activation]())
            self.layers.append(Dropout(spec.dropout))

    def forward(self, parts: Parts) -> Tokens:
        features = self.features(parts).unsqueeze(1).expand(-1, self.members, -1)
        values = self.layers(features)
        return Tokens(values, values.new_ones(values.shape[:2]).bool(), members=True)
