"""What the encoders of token sequences share."""

from ceiba.base.errors import RecipeError
from ceiba.fields import TextLayout


def in_order(layout: TextLayout, name: str) -> TextLayout:
    """The layout, if its ids are tokens in reading order.

    Raises: RecipeError for a weighted bag of n-grams, whose order says nothing.
    """
    if layout.weighted:
        raise RecipeError(f"{name} needs tokens in reading order", "weighted n-grams", "Use the encoder bag")
    return layout
