"""A small language model with random weights, and text fields."""

from collections.abc import Callable

import pyarrow as pa
import pytest
import torch

from ceiba.fields import TextLayout, TextSpec, TokenField
from ceiba.generate import Generator
from ceiba.heads import OutputLayout
from ceiba.model import Model, ModelSpec, build_model

PLACES = 64
TEXTS = ["to be, or not to be: that is the question.", "naïve café, 日本語 😀 and \n more.", "the rest is silence"]


def small_model(vocab: int = 50, layers: int = 2, seed: int = 0, tied: bool = False, **trunk: object) -> Model:
    """A causal Transformer, its logits far enough from each other and from certain."""
    is_rotary = "positions" in trunk
    encoder = {"kind": "text", "type": "transformer", "layers": 0, "dropout": 0.0}
    encoder |= {"positions": "none" if is_rotary else {"type": "learned", "places": PLACES}}
    spec = {
        "dim": 32, "encoders": {"text": encoder}, "heads": {"text": {"type": "next_token", "tied": tied}},
        "trunk": {"type": "transformer", "layers": layers, "heads": 4, "causal": True, "dropout": 0.0, **trunk},
    }  # fmt: skip
    layouts, outputs = {"text": TextLayout(vocab, PLACES, False)}, {"text": OutputLayout("text", vocab)}
    model = build_model(ModelSpec.model_validate(spec), layouts, outputs, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2
    return model.eval()


@pytest.fixture(scope="session")
def model() -> Callable[..., Model]:
    return small_model


@pytest.fixture(scope="session")
def field() -> TokenField:
    spec = TextSpec.model_validate({"tokenizer": {"type": "bpe", "vocab": 300, "min_count": 1}, "max_tokens": PLACES})
    found = spec.fit([pa.array(TEXTS)])
    assert isinstance(found, TokenField)
    return found


@pytest.fixture(scope="session")
def generator(field: TokenField) -> Generator:
    return Generator(small_model(field.vocab), "text", field, max_rows=4)
