"""Matrices in fewer bits in a file of weights, and as floats again.

float16  two bytes a weight.
int8     a byte a weight and one scale a row:             w = s_row · c,    c from -127 to 127
int4     half a byte a weight, one scale for each 32:     w = s_block · c,  c from -8 to 7 (`packed.quantize_blocks`)

A matrix NAME that was rounded is NAME.int8 or NAME.int4 beside NAME.scale. To round what was widened gives the same
codes, so a layer that is packed for writing from a widened matrix holds what the file holds.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ceiba.surgery.packed import BLOCK, FLOOR, WEIGHT_STEPS, quantize_blocks

Stored = Literal["float16", "int8", "int4"]
SCALE = "scale"
DIMENSIONS = {"int8": 2, "int4": 3}
"""Of codes: rows and columns; rows, blocks and pairs."""


def fits(form: Stored, weight: Tensor) -> bool:
    """Whether a tensor can be stored in a form."""
    return weight.ndim == 2 and (form != "int4" or weight.shape[1] % BLOCK == 0)


def narrowed(name: str, weight: Float[Tensor, "outputs inputs"], form: Stored) -> dict[str, Tensor]:
    """What stands for a matrix in a file."""
    if form == "float16":
        return {name: weight.half()}
    if form == "int4":
        codes, scale = quantize_blocks(weight.float())
        return {f"{name}.int4": codes, f"{name}.{SCALE}": scale.bfloat16()}
    scale = weight.float().abs().amax(1).clamp_min(FLOOR) / WEIGHT_STEPS
    codes = (weight / scale[:, None]).round().clamp(-WEIGHT_STEPS, WEIGHT_STEPS).to(torch.int8)
    return {f"{name}.int8": codes, f"{name}.{SCALE}": scale}


def widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors with every matrix in floats, under its own name.

    Raises: KeyError for codes without scales, ValueError for scales that do not fit them.
    """
    found = {}
    for name, value in tensors.items():
        matrix, _, kind = name.rpartition(".")
        if kind in DIMENSIONS:
            scale = tensors[f"{matrix}.{SCALE}"]
            if value.ndim != DIMENSIONS[kind] or scale.shape != value.shape[:-1]:
                raise ValueError(f"{name} must have a scale for each row or block")
            numbers = value.float() if kind == "int8" else torch.stack([value & 15, value >> 4], -1).flatten(2) - 8.0
            found[matrix] = (numbers * scale.float()[..., None]).flatten(1)
        elif kind != SCALE or not {f"{matrix}.int8", f"{matrix}.int4"} & tensors.keys():
            found[name] = value
    return found
