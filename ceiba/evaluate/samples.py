"""A handful of rows with answer and truth: some as they come, and the worst errors."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ceiba.base.keys import permutation
from ceiba.evaluate.gather import Scored, row_losses, texts
from ceiba.metrics import known_rows
from ceiba.read import Frame

TYPICAL, WORST = 3, 3
MOST_CHARACTERS = 240
IMAGE_SIDE = 64


def sample_rows(scored: Mapping[str, Scored], num_rows: int, seed: int) -> list[tuple[int, str]]:
    """(row, why): typical rows drawn by the seed among those with a truth, then the worst of each output."""
    some_truth = np.zeros(num_rows, dtype=bool)
    for one in scored.values():
        some_truth |= known_rows(one.truth)
    rows = np.flatnonzero(some_truth)
    chosen = [(int(row), "typical") for row in rows[permutation(len(rows), seed, "samples")[:TYPICAL]]]
    for name, one in scored.items():
        losses = row_losses(one)
        wrong = [int(row) for row in np.argsort(-losses, kind="stable")[:WORST] if losses[row] > 0]
        taken = {row for row, _ in chosen}
        chosen += [(row, f"worst {name}" if len(scored) > 1 else "worst") for row in wrong if row not in taken]
    return chosen


def samples_section(
    frame: Frame, scored: Mapping[str, Scored], columns: Sequence[str], split: str, seed: int
) -> list[dict[str, Any]]:
    """Inputs, answers and truths of the sample rows."""
    chosen = sample_rows(scored, frame.num_rows, seed)
    if not chosen:
        return []
    rows = np.unique(np.array([row for row, _ in chosen], dtype=np.int64))
    shown = [name for name in columns if name in frame.names]
    table = frame.take(rows).select(shown).to_table()
    section = []
    for row, why in chosen:
        place = int(np.searchsorted(rows, row))
        inputs = {name: readable(table.schema.field(name), table.column(name)[place]) for name in shown}
        outputs = {name: _output(one.take(np.array([row]))) for name, one in scored.items()}
        section.append({"split": split, "row": row, "why": why, "inputs": inputs, "outputs": outputs})
    return section


def _output(scored: Scored) -> dict[str, Any]:
    if scored.said is not None:
        answer, truth = scored.said[0]
        return {"answer": answer, "truth": truth}
    answers, truths = texts(scored.labels, scored)
    result = {"answer": answers[0], "truth": truths[0]}
    if scored.kind == "binary":
        probability = float(scored.scores[0])
        result["probability"] = probability if scored.predicted()[0] else 1 - probability
    if scored.kind == "classes":
        result["probability"] = float(scored.scores[0].max())
    return result


def readable(field: pa.Field, value: pa.Scalar) -> Any:
    """A cell as JSON: long text cut, an image as {"image": data address} of a small copy."""
    kind = field.type
    if value.is_valid and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return _thumbnail(io.BytesIO(value.as_py()))
    shape = json.loads(f"[{(field.metadata or {}).get(b'shape', b'').decode()}]")
    if value.is_valid and len(shape) == 3 and pa.types.is_fixed_size_list(kind):
        pixels = value.values.to_numpy().astype(np.uint8).reshape(shape)
        return _thumbnail(Image.fromarray(_drawable(pixels)))
    plain = value.as_py()
    if plain is None or isinstance(plain, bool | int):
        return plain
    if isinstance(plain, float):
        return plain if isfinite(plain) else None
    text = " ".join(plain) if isinstance(plain, list) and all(isinstance(one, str) for one in plain) else str(plain)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def _drawable(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _thumbnail(source: io.BytesIO | Image.Image) -> dict[str, str] | str:
    try:
        image = source if isinstance(source, Image.Image) else Image.open(source)
        image = image.convert("RGB" if image.mode not in ("L", "1", "I;16") else "L")
        image.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
    except (OSError, ValueError, Image.DecompressionBombError):
        return "(bytes)"
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"image": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()}
