"""Precision: in which number format the forward pass computes; weights and optimizer states stay in float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def compute_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of the forward pass: bfloat16 where torch judges it safe, or plain float32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
