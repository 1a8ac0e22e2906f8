"""A row of the adult bundle encoded by hand, as whoever serves it without Ceiba would write it."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUNDLE = Path(os.environ["BUNDLE"])
FIELDS = json.loads((BUNDLE / "fields.json").read_text())
ORDER = FIELDS["order"]
NUMBERS = [(name, FIELDS["inputs"][name]) for name in ORDER if FIELDS["inputs"][name]["kind"] == "number"]
BINARY = [
    (name, {label: float(place) for place, label in enumerate(FIELDS["inputs"][name]["labels"])})
    for name in ORDER
    if FIELDS["inputs"][name]["kind"] == "binary"
]
CATEGORIES = [
    (name, {label: place + 2 for place, label in enumerate(FIELDS["inputs"][name]["labels"])})
    for name in ORDER
    if FIELDS["inputs"][name]["kind"] == "category"
]
TABLE = [name for name in ORDER if FIELDS["inputs"][name]["kind"] in ("number", "binary")]
LABELS = FIELDS["outputs"]["income"]["labels"]


def encode(row: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The parts of one row."""
    numbers = {name: (row[name] - field["mean"]) / field["std"] for name, field in NUMBERS}
    numbers |= {name: labels[row[name]] for name, labels in BINARY}
    codes = [labels.get(row[name], 1) for name, labels in CATEGORIES]
    return {
        "table.numbers": np.array([[numbers[name] for name in TABLE]], np.float32),
        "table.codes": np.array([codes], np.int32),
    }


def answer(logit: float) -> dict[str, Any]:
    """The answer to a row."""
    second = 1 / (1 + math.exp(-logit))
    return {
        "income": LABELS[int(second >= 0.5)],
        "income_probability": max(second, 1 - second),
        f"income_{LABELS[0]}": 1 - second,
        f"income_{LABELS[1]}": second,
    }
