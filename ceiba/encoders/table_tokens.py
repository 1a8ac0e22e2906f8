"""Table encoder `tokens`: a token for each column, mixed by a Transformer."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.encoders.numbers import NumbersSpec, ScalarSpec
from ceiba.encoders.table_features import some_columns
from ceiba.fields import TableLayout
from ceiba.layers import CategoryEmbedding, Tokens, Transformer, TransformerOptions


class TableTokensSpec(Spec):
    """One token a column, then Transformer blocks. Source: Gorishniy et al. 2021, arXiv:2106.11959, section 3.3."""

    type: Literal["tokens"] = "tokens"
    numbers: NumbersSpec = ScalarSpec()
    """How numbers are embedded; their vectors are as wide as the model."""
    layers: int = Field(2, ge=0)
    """Transformer blocks; 0 leaves the mixing to the trunk."""
    heads: int = Field(8, ge=1)
    """Attention heads; must divide the model's dim."""
    feed_forward: float = Field(2.0, gt=0)
    """Width of the inner dense layer, in multiples of dim."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features dropped in each block while training."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Share of rows for which the last block's branches are dropped while training."""

    def build(self, layout: TableLayout, dim: int) -> "TableTokens":
        return TableTokens(self, some_columns(layout), dim)


class TableTokens(Encoder):
    """A token for each column, mixed by a Transformer."""

    def __init__(self, spec: TableTokensSpec, layout: TableLayout, dim: int):
        super().__init__()
        self.numbers: nn.Module | None = spec.numbers.build(layout, dim) if layout.num_numbers else None
        self.categories = CategoryEmbedding(layout.cardinalities, dim) if layout.cardinalities else None
        self.transformer = None
        if spec.layers:
            options = TransformerOptions(
                layers=spec.layers, heads=spec.heads, feed_forward=spec.feed_forward,
                dropout=spec.dropout, drop_path=spec.drop_path,
            )  # fmt: skip
            self.transformer = Transformer(dim, options)

    def forward(self, parts: Parts) -> Tokens:
        columns = []
        if self.numbers is not None:
            columns.append(self.numbers(parts["numbers"]))
        if self.categories is not None:
            columns.append(self.categories(parts["codes"]))
        values = columns[0] if len(columns) == 1 else torch.cat(columns, 1)
        tokens = Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
        return tokens if self.transformer is None else self.transformer(tokens, all_count=True)
