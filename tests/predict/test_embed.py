"""Vectors of rows: what the network makes of them before any head."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from ceiba.base.errors import InputError
from ceiba.fields import Fields, TextSpec
from ceiba.heads import OutputLayout
from ceiba.model import ModelSpec, TorchBackend, build_model
from ceiba.predict import Predictor

TEXTS = ["one two three", "two", "", "four five six seven", "three two one"]


def predictor(whole: bool = False, batch_rows: int = 2) -> Predictor:
    field = TextSpec(tokenizer={"type": "word", "min_count": 1}, whole=whole).fit([pa.array(TEXTS)])
    fields = Fields({"text": field}, {})
    encoder = {"kind": "text", "type": "gru", "width": 8}
    spec = ModelSpec(dim=16, encoders={"text": encoder}, heads={"y": "regression"})
    backend = TorchBackend(build_model(spec, fields.layouts(), {"y": OutputLayout("number")}))
    return Predictor(fields, {}, backend, batch_rows=batch_rows)


def test_a_vector_is_the_mean_of_a_rows_tokens_whatever_stands_beside_it() -> None:
    opened = predictor()
    vectors = opened.embed({"text": TEXTS})
    assert vectors.shape == (5, 16)
    alone = np.concatenate([opened.embed([{"text": text}]) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=1e-6)
    assert isinstance(opened.backend, TorchBackend)
    ids = torch.from_numpy(opened.fields.inputs["text"].encode(pa.array(TEXTS[:1]))["ids"].values)[None]
    tokens = opened.backend.model.tokens({"text.ids": ids})
    np.testing.assert_allclose(vectors[0], tokens.values[0].mean(0).detach().numpy(), atol=1e-6)
    assert not vectors[2].any(), "a text without a word has no token"
    assert opened.embed({"text": pa.array([], pa.string()).to_pylist()}).shape[0] == 0


def test_what_cannot_be_embedded_is_told() -> None:
    with pytest.raises(InputError, match="a row at once"):
        predictor(whole=True).embed({"text": TEXTS})
    exported = Predictor(predictor().fields, {}, lambda parts: {})
    with pytest.raises(InputError, match="the trained network"):
        exported.embed({"text": TEXTS})
