"""Muon: steps of hidden layers made orthogonal; every other weight learns by AdamW. Both within one optimizer."""

import inspect
from typing import Literal

import torch
from pydantic import Field

from ceiba.train.adaptive import AdamWSpec, Groups


class MuonSpec(AdamWSpec):
    """u ← μ u + (1-μ) g; w ← w - lr (0.2 √(longer side of w) · NS((1-μ) g + μ u) + decay w).

    For the matrices of dense layers before the heads; AdamW for all other weights. NS is five rounds of the
    Newton-Schulz iteration, which brings all singular values near one; the factor makes the step about as long as one
    of AdamW, so that both share a learning rate. Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in
    neural networks"; factor: Liu et al. 2025, arXiv:2502.16982, equation 4.
    """

    type: Literal["muon"] = "muon"  # type: ignore[assignment]
    momentum: float = Field(0.95, ge=0, lt=1)
    """Decay μ of the running mean of g, for matrices."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running mean of g and of g², for all other weights."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return MuonWithAdamW(self, groups, lr)


class MuonWithAdamW(torch.optim.Optimizer):
    """The first `matrices` weights of each group by torch's Muon, the rest by its AdamW, with one state over both."""

    def __init__(self, spec: MuonSpec, groups: Groups, lr: float):
        hidden, rest = [], []
        for group in groups:
            options = {name: value for name, value in group.items() if name not in ("params", "matrices")}
            weights, count = list(group["params"]), group.get("matrices", 0)  # type: ignore[call-overload]
            hidden.append({**options, "params": weights[:count]})
            rest.append({**options, "params": weights[count:]})
        self.muon = torch.optim.Muon(hidden, lr, spec.decay, spec.momentum, adjust_lr_fn="match_rms_adamw")
        self.adamw = torch.optim.AdamW(rest, lr, spec.betas, spec.eps, spec.decay, fused=True)
        super().__init__([*self.muon.param_groups, *self.adamw.param_groups], {"lr": lr})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        count = len(self.muon.param_groups)
        parts = ((self.muon, self.param_groups[:count]), (self.adamw, self.param_groups[count:]))
        for part, groups in parts:
            # Lent anew each time: loading a state puts other objects in place of the old.
            part.param_groups, part.state = groups, self.state
            inspect.unwrap(type(part).step)(part)
