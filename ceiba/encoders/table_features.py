"""All columns of a table → one flat vector a row, in a handful of operations whatever the number of columns."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.encoders.encoder import Parts
from ceiba.encoders.numbers import NumbersSpec
from ceiba.fields import TableLayout
from ceiba.layers import CategoryEmbedding


def some_columns(layout: TableLayout) -> TableLayout:
    """The layout, if it has a column.

    Raises: RecipeError for a table without columns.
    """
    if not layout.num_numbers and not layout.cardinalities:
        raise RecipeError("a table needs at least one column", "none", "Name an input column")
    return layout


class TableFeatures(nn.Module):
    """Embedded numbers and embedded categories, side by side; `width` features in all."""

    def __init__(self, layout: TableLayout, numbers: NumbersSpec, category_width: int):
        super().__init__()
        self.width = category_width * len(layout.cardinalities)
        self.numbers: nn.Module | None = None
        self.categories: nn.Module | None = None
        if layout.num_numbers:
            self.numbers = embedding = numbers.build(layout)
            self.width += embedding.width * layout.num_numbers
        if layout.cardinalities:
            self.categories = CategoryEmbedding(layout.cardinalities, category_width)

    def forward(self, parts: Parts) -> Float[Tensor, "batch width"]:
        features = []
        if self.numbers is not None:
            features.append(self.numbers(parts["numbers"]).flatten(1))
        if self.categories is not None:
            features.append(self.categories(parts["codes"]).flatten(1))
        return features[0] if len(features) == 1 else torch.cat(features, 1)
