"""A tiny random pre-trained folder of each kind, written without transformers; and texts with two kinds of news."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from ceiba.families import FAMILIES, Network
from ceiba.layers import TransformerOptions

BALL = ["team", "wins", "game", "match", "goal", "player", "coach", "season", "league", "cup"]
BANK = ["bank", "market", "stock", "price", "shares", "profit", "trade", "rates", "fund", "oil"]
SMALL: dict[str, Any] = {"layers": 2, "heads": 2, "feed_forward": 2, "init": "normal"}
NETWORKS = {
    "bert": Network(
        "bert", 16, 40, TransformerOptions(**SMALL, norm_first=False), places=24, embedding_norm=True, segments=2
    ),
    "gpt2": Network("gpt2", 16, 40, TransformerOptions(**SMALL, causal=True, activation="gelu_tanh"), places=300),
}


def tokenizer_of(family: str) -> Tokenizer:
    """Words; BERT's with padding at 0 and a frame, GPT-2's with a word at 0."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] if family == "bert" else ["[UNK]"]
    found = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.train_from_iterator([" ".join(BALL + BANK)], trainers.WordLevelTrainer(special_tokens=special))
    if family == "bert":
        ids = [(token, found.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        found.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ids)
    return found


def shapes_of(network: Network) -> dict[str, tuple[int, ...]]:
    """The shape of every foreign weight."""
    dim, inner = network.dim, 2 * network.dim
    table = {
        "word": (network.vocab, dim), "wte": (network.vocab, dim), "position": (network.places, dim),
        "wpe": (network.places, dim), "token_type": (2, dim), "c_attn.weight": (dim, 3 * dim),
        "c_attn.bias": (3 * dim,),
        "c_fc.weight": (dim, inner), "c_fc.bias": (inner,), "mlp.c_proj.weight": (inner, dim),
        "intermediate.dense.weight": (inner, dim), "intermediate.dense.bias": (inner,), "Norm": (dim,), "ln_": (dim,),
        "attention.output.dense.weight": (dim, dim), "output.dense.weight": (dim, inner),
    }  # fmt: skip
    names = [name for weight in FAMILIES[network.family].weights(network) for name in weight.foreign]
    plain = {True: (dim,), False: (dim, dim)}
    return {
        name: next((shape for part, shape in table.items() if part in name), plain[name.endswith("bias")])
        for name in names
    }  # type: ignore[misc]


@pytest.fixture
def pretrained(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a folder of a family."""

    def write(family: str) -> Path:
        network, folder = NETWORKS[family], tmp_path / family
        folder.mkdir()
        torch.manual_seed(0)
        tensors = {name: 0.3 * torch.randn(shape) for name, shape in shapes_of(network).items()}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        config = {"model_type": family, **FAMILIES[family].write(network)}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer.json").write_text(tokenizer_of(family).to_str())
        (folder / "README.md").write_text("---\nlicense: mit\n---\nRandom.\n")
        return folder

    return write


@pytest.fixture
def news(tmp_path: Path) -> dict[str, Any]:
    """Data and outputs of a recipe: which of two kinds of words a text has."""
    generator = torch.Generator().manual_seed(1)
    lines = ["text,label"]
    for row in range(120):
        words = BALL if row % 2 else BANK
        chosen = torch.randint(0, len(words), (5,), generator=generator).tolist()
        lines.append(f"{' '.join(words[place] for place in chosen)},{'ball' if row % 2 else 'bank'}")
    (tmp_path / "news.csv").write_text("\n".join(lines) + "\n")
    return {"data": {"train": str(tmp_path / "news.csv")}, "inputs": {"text": "text"}, "outputs": {"label": "category"}}
