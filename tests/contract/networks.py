"""Layouts, parts and cases that the contract tests of the networks share."""

import torch
from torch import Tensor

from ceiba.encoders import ENCODERS
from ceiba.fields import ImageLayout, Layout, TableLayout, TextLayout, WordsLayout

DIM = 16
TABLE = TableLayout(("a", "b", "c", "d"), 2, (5, 7), ((-1.0, 0.0, 1.0, 2.0), ()))
TEXT = TextLayout(30, 12, weighted=False)
NGRAMS = TextLayout(40, 12, weighted=True)
WORDS = WordsLayout(30, 9, 6)
IMAGE = ImageLayout(9, 6, 3, (10.0, 20.0, 30.0), (5.0, 0.0, 50.0))
CASES = [(kind, name) for kind, catalog in ENCODERS.items() for name in catalog]
ROWS = 5
KNOBS = {
    ("text", "transformers"): {
        "config": {
            "model_type": "t5",
            "vocab_size": 30,
            "d_model": DIM,
            "d_kv": 4,
            "d_ff": 24,
            "num_layers": 1,
            "num_heads": 2,
        }
    },
    ("image", "transformers"): {
        "config": {
            "model_type": "resnet",
            "embedding_size": 8,
            "hidden_sizes": [DIM],
            "depths": [1],
            "layer_type": "basic",
        }
    },
}
"""What an encoder must be told, where it has no default."""


def layout_of(kind: str, name: str) -> Layout:
    """A layout that the encoder can read."""
    return {"table": TABLE, "text": NGRAMS if name == "bag" else TEXT, "words": WORDS, "image": IMAGE}[kind]


def parts_of(layout: Layout, rows: int = ROWS, tokens: int = 7, seed: int = 0) -> dict[str, Tensor]:
    """Random parts; texts are ragged, the second one (if any) is empty, the first one is full."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(layout, TableLayout):
        codes = [
            torch.randint(0, count, (rows,), generator=generator, dtype=torch.int32) for count in layout.cardinalities
        ]
        numbers = torch.randn(rows, layout.num_numbers, generator=generator)
        return {"numbers": numbers, "codes": torch.stack(codes, 1)}
    if isinstance(layout, ImageLayout):
        shape = (rows, layout.height, layout.width, layout.channels)
        return {"pixels": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)}
    if isinstance(layout, WordsLayout):
        text = parts_of(TextLayout(layout.vocab, tokens, False), rows, tokens, seed)["ids"]
        shape = (rows, text.shape[1], layout.max_characters)
        letters = torch.randint(1, layout.characters, shape, generator=generator, dtype=torch.int32)
        return {"ids": text, "characters": letters * (text != 0).unsqueeze(-1)}
    ids = torch.randint(1, layout.vocab, (rows, tokens), generator=generator, dtype=torch.int32)
    lengths = torch.randint(1, tokens + 1, (rows, 1), generator=generator)
    lengths[:2] = torch.tensor([[tokens], [0]])[:rows]
    ids = ids * (torch.arange(tokens) < lengths)
    if not layout.weighted:
        return {"ids": ids.int()}
    return {"ids": ids.int(), "weights": torch.rand(rows, tokens, generator=generator) * (ids != 0)}


def widened(parts: dict[str, Tensor], by: int) -> dict[str, Tensor]:
    """The same texts with more padding."""
    wide = {"characters": (0, 0, 0, by)}
    return {name: torch.nn.functional.pad(part, wide.get(name, (0, by))) for name, part in parts.items()}
