"""Text encoder `bag`: a weighted sum of n-gram vectors, close to a linear model."""

from typing import Literal

from pydantic import Field
from torch import nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec
from ceiba.encoders.encoder import Encoder, Parts
from ceiba.fields import TextLayout
from ceiba.layers import Dropout, Tokens, WeightedBag, one_token


class TextBagSpec(Spec):
    """Vectors of weighted n-grams, summed; gives one token. With no trunk: a linear model of low rank."""

    type: Literal["bag"] = "bag"
    width: int = Field(16, ge=1)
    """Width of each n-gram's vector: the rank of the linear model."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of n-grams dropped while training."""

    def build(self, layout: TextLayout, dim: int) -> "TextBag":
        if not layout.weighted:
            raise RecipeError("bag needs weighted n-grams", "plain tokens", "Give the text the tokenizer ngrams")
        return TextBag(self, layout, dim)


class TextBag(Encoder):
    """A weighted sum of n-gram vectors, and a linear map to the model's width that keeps lengths and angles."""

    def __init__(self, spec: TextBagSpec, layout: TextLayout, dim: int):
        super().__init__()
        self.bag = WeightedBag(layout.vocab, spec.width)
        self.dropout = Dropout(spec.dropout)
        self.linear = nn.Linear(spec.width, dim)
        nn.init.orthogonal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, parts: Parts) -> Tokens:
        return one_token(self.linear(self.bag(parts["ids"], self.dropout(parts["weights"]))))
