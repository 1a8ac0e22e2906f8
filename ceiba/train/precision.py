"""Precision: in which number formats a step computes, and weights and optimizer states are held.

fp32, bf16 and fp16 hold weights in float32 and compute the forward pass in the format that they name; `pure_bf16` also
holds the weights, and so the optimizer's states, in bfloat16: half the memory, and small steps are lost to rounding.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from ceiba.train.world import own_share

Precision = Literal["fp32", "bf16", "fp16", "pure_bf16"]
COMPUTED_IN = {"bf16": torch.bfloat16, "fp16": torch.float16, "pure_bf16": torch.bfloat16}
"""The format of matrix products."""
FIRST_SCALE, STEADY_STEPS = 2.0**16, 2000


def compute_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of the forward pass: a short format where torch judges it safe, or plain float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=COMPUTED_IN[precision])


def hold_in_bf16(model: nn.Module) -> None:
    """Matrices, and all weights of recurrent layers, in bfloat16; gains and biases stay as they are, since they weigh
    nothing and norms want them exact."""
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.ndim >= 2 or isinstance(module, nn.RNNBase):
                parameter.data = parameter.data.to(torch.bfloat16)


class Scaler:
    """For float16, whose least number is large: the loss is multiplied so that small gradients are not lost.

    A step whose gradients overflow is not taken and halves the scale, many good ones in a row double it; all of it on
    the device. Source: Micikevicius et al. 2017, arXiv:1710.03740, section 3.2.
    """

    def __init__(self, device: torch.device):
        self.scale = torch.tensor(FIRST_SCALE, device=device)
        self.steady = torch.zeros((), device=device)
        """Good steps since the scale was changed."""

    def unscale(self, gradients: Iterable[Tensor]) -> None:
        """Give gradients of the scaled loss their true size, in place."""
        inverse = self.scale.reciprocal()
        for gradient in gradients:
            own_share(gradient).mul_(inverse)

    def update(self, bad: Tensor | bool) -> Tensor | bool:
        """Adapt the scale to one step; whether the step was bad though nothing was left to halve."""
        failed = torch.as_tensor(bad, device=self.scale.device)
        hopeless = failed & (self.scale <= 1)
        self.steady = torch.where(failed, 0, self.steady + 1)
        grows = self.steady >= STEADY_STEPS
        self.scale = torch.where(failed, (self.scale / 2).clamp(min=1), torch.where(grows, self.scale * 2, self.scale))
        self.steady = torch.where(grows, 0, self.steady)
        return hopeless if isinstance(bad, Tensor) else bool(hopeless)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"scale": self.scale, "steady": self.steady}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.scale, self.steady = (state[name].to(self.scale.device) for name in ("scale", "steady"))
