"""What the encoders of token sequences share."""

import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.fields import TextLayout


def in_order(layout: TextLayout, name: str) -> TextLayout:
    """The layout, if its ids are tokens in reading order.

    Raises: RecipeError for a weighted bag of n-grams, whose order says nothing.
    """
    if layout.weighted:
        raise RecipeError(f"{name} needs tokens in reading order", "weighted n-grams", "Use the encoder bag")
    return layout


def some_ids(ids: Int[Tensor, "batch token"]) -> Int[Tensor, "batch time"]:
    """At least one place a row, so that a batch of empty texts passes through every kernel."""
    return F.pad(ids, (0, 1)) if ids.shape[1] == 0 else ids
