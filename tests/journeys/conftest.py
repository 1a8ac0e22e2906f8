"""Small real work for the journeys: each folder holds data, and the recipe that is made for it."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WORDS = {"good": ["fine", "lovely", "great", "warm"], "bad": ["awful", "dull", "cold", "poor"]}
FILLER = ["the", "film", "was", "a", "story", "of", "people", "and", "it", "seemed"]


def table(folder: Path, rows: int = 400) -> str:
    """A table with numbers, categories, dates, a missing value here and there, and two targets."""
    random = np.random.default_rng(0)
    lines = ["id,age,city,joined,score,rich,income"]
    for row in range(rows):
        age, city = random.integers(18, 80), random.choice(["Rome", "Oslo", "Lima"])
        score = "" if random.random() < 0.05 else f"{random.normal():.3f}"
        rich = "yes" if age + 20 * (city == "Oslo") + random.normal(0, 5) > 55 else "no"
        income = 1000 + 90 * age + random.normal(0, 50)
        lines.append(f"r{row},{age},{city},2020-{1 + row % 12:02d}-11,{score},{rich},{income:.0f}")
    (folder / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return """
data: {train: people.csv, ids: [id]}
outputs: {rich: binary, income: {type: number, weight: 0.5}}
train: {epochs: 8, batch_rows: 32, optimizer: {lr: 0.01}}
evaluate: {slices: [city]}
"""


def text(folder: Path, rows: int = 300) -> str:
    """Two kinds of reviews, told by a word or two."""
    random = np.random.default_rng(0)
    lines = ["review\tkind"]
    for row in range(rows):
        kind = "good" if row % 2 else "bad"
        words = [*random.choice(FILLER, random.integers(2, 9)), *random.choice(WORDS[kind], 2)]
        random.shuffle(words)
        lines.append(f"{' '.join(words)}\t{kind}")
    (folder / "reviews.tsv").write_text("\n".join(lines), encoding="utf-8")
    return """
data: {train: reviews.tsv}
inputs: {review: {type: text, tokenizer: word, encoder: lstm}}
outputs: {kind: category}
model: {dim: 32}
train: {epochs: 6, batch_rows: 16, optimizer: {lr: 0.01}}
"""


def png(pixels: np.ndarray) -> bytes:
    """An array as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def images(folder: Path, rows: int = 120) -> str:
    """Crosses and circles of any size, in a folder a class."""
    random = np.random.default_rng(0)
    for row in range(rows):
        kind, side = ("cross", "circle")[row % 2], int(random.integers(14, 22))
        y, x = np.mgrid[:side, :side] - side // 2
        shape = (abs(y) < 2) | (abs(x) < 2) if kind == "cross" else abs(np.hypot(x, y) - side // 3) < 2
        pixels = (random.integers(0, 60, (side, side, 3)) + 190 * shape[..., None]).clip(0, 255).astype(np.uint8)
        (folder / "shapes" / kind).mkdir(parents=True, exist_ok=True)
        (folder / "shapes" / kind / f"{row}.png").write_bytes(png(pixels))
    return """
data: {train: shapes}
inputs: {image: {type: image, size: 16, mode: color, encoder: {type: cnn, channels: [8, 16]}}}
outputs: {label: category}
model: {dim: 32}
train: {epochs: 6, batch_rows: 16, optimizer: {lr: 0.01}, augment: {flip: true, crop: 1}}
"""


MAKERS: dict[str, Callable[[Path], str]] = {"table": table, "text": text, "images": images}


@pytest.fixture
def journey(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data of the asked-for kind and its `recipe.yaml`, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(MAKERS[request.param](tmp_path), encoding="utf-8")
    return tmp_path
