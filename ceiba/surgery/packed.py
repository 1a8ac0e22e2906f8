"""Linear layers whose weights lie as the processor reads them fastest: for nets that only answer, on the CPU.

packed   float32, blocked for oneDNN's kernels; the figures are those of float32.
int8     a byte a weight, one scale an output; inputs are rounded to 7 bits, each row by its own scale.
int4     half a byte a weight, one scale for each 32 of them; inputs are rounded to bfloat16.

A quantized row never depends on the rows beside it, so a text does not depend on the batch it is written in.
Source: int8: Dettmers et al. 2022, arXiv:2208.07339, section 2.1 (vector-wise); int4: Dettmers & Zettlemoyer 2022,
arXiv:2212.09720, section 2 (small blocks).
"""

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ceiba.surgery.replaced import replaced

Weights = Literal["packed", "int8", "int4"]
ACTIVATION_STEPS = 63
"""Steps on each side of zero: one bit less than a byte has, since AVX2's kernel adds two products in 16 bits."""
ACTIVATION_ZERO = 64
WEIGHT_STEPS = 127
BLOCK = 32
TILE = 64
"""Outputs come in so many at once from torch's 4-bit product."""
FLOOR = 1e-12
"""Below every scale but that of zeros."""


class PackedLinear(nn.Module):
    """y = W x + b with W in oneDNN's own order of blocks."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.bias = linear.bias
        weight = linear.weight.detach()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self._product = torch.ops.mkldnn._linear_pointwise.default

    def forward(self, values: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        found: Tensor = self._product(values, self.weight, self.bias, "none", [], "")
        return found


class Int8Linear(nn.Module):
    """y = s_x s_W (W₈ x₈) + b: each row of inputs has a scale, and each output."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach()
        scale = weight.abs().amax(1).clamp_min(FLOOR) / WEIGHT_STEPS
        zero = torch.zeros(len(scale), dtype=torch.int64)
        engine = torch.backends.quantized.engine
        torch.backends.quantized.engine = "fbgemm"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # quantized tensors are said to leave torch; this version has them
                rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
                self.weight = torch.ops.quantized.linear_prepack(rounded, None)
        finally:
            torch.backends.quantized.engine = engine
        self.bias = linear.bias if linear.bias is not None else torch.zeros(len(scale))
        self._product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def forward(self, values: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        scale = torch.linalg.vector_norm(values, torch.inf, -1, keepdim=True).clamp_min_(FLOOR)
        product = self._product(values / scale, 1 / ACTIVATION_STEPS, ACTIVATION_ZERO, self.weight)
        return torch.addcmul(self.bias, product, scale)


class Int4Linear(nn.Module):
    """y = W₄ x + b; inputs and products are bfloat16, whose rounding is far below that of the weights."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        codes, scales = quantize_blocks(linear.weight.detach())
        self.bias, self.outputs = linear.bias, len(codes)
        spare = -self.outputs % TILE
        numbers = torch.stack([codes & 15, codes >> 4], -1).view(self.outputs, -1).int()
        numbers, scales = nn.functional.pad(numbers, (0, 0, 0, spare)), nn.functional.pad(scales, (0, 0, 0, spare))
        self.weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1)
        self.scales = torch.stack([scales.T, torch.zeros_like(scales.T)], 2).bfloat16()
        self._product = torch.ops.aten._weight_int4pack_mm_for_cpu.default

    def forward(self, values: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        rows = values.flatten(0, -2).bfloat16()
        found = self._product(rows, self.weight, BLOCK, self.scales)
        if found.shape[1] > self.outputs:
            found = found[:, : self.outputs]
        wide: Tensor = found.float()
        if self.bias is not None:
            wide += self.bias
        return wide.view(*values.shape[:-1], self.outputs)


def quantize_blocks(
    weight: Float[Tensor, "outputs inputs"],
) -> tuple[Int[Tensor, "outputs block pair"], Float[Tensor, "outputs block"]]:
    """Numbers from 0 to 15, two a byte, the first in the low half, and for each block what one step is worth; 8 is 0.

    The value farthest from zero becomes exactly -8 steps, so that no code is wasted.
    """
    blocks = weight.reshape(len(weight), -1, BLOCK)
    farthest = blocks.gather(2, blocks.abs().argmax(2, keepdim=True))
    scale = farthest / -8
    scale = torch.where(scale.abs() < FLOOR, FLOOR, scale).bfloat16().to(weight.dtype)  # as the product reads it
    codes = (blocks / scale).round().clamp(-8, 7).add(8).to(torch.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4), scale[..., 0]


FORMS: dict[Weights, Callable[[nn.Linear], nn.Module]] = {
    "packed": PackedLinear, "int8": Int8Linear, "int4": Int4Linear,
}  # fmt: skip


def can_take(form: Weights, linear: nn.Linear) -> bool:
    """Whether a layer can have a form on this machine."""
    weight = linear.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    if form == "packed":
        return torch.backends.mkldnn.is_available()  # type: ignore[no-any-return, no-untyped-call]
    if form == "int8":
        return "fbgemm" in torch.backends.quantized.supported_engines
    return linear.in_features % BLOCK == 0


def pack(module: nn.Module, form: Weights) -> nn.Module:
    """The same net with its linear layers in another form, those that cannot take it as they are.

    The module that was given is untouched, and shares with the new one whatever is not replaced. The new one answers;
    it cannot be trained or saved.
    """

    def packed(path: str, part: nn.Module) -> nn.Module | None:
        return FORMS[form](part) if type(part) is nn.Linear and can_take(form, part) else None

    return replaced(module, packed)
