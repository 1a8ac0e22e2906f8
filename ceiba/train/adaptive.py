"""Optimizers that give each weight a rate of its own, from the size of its past gradients.

g is the gradient, with decay · w added where decay is an L2 penalty; m̂ and v̂ are m / (1 - β1^t) and v / (1 - β2^t).
"""

from typing import Annotated, Literal

import torch
from pydantic import Field

from ceiba.base.spec import Spec

Groups = list[dict[str, object]]
Rate = Annotated[float, Field(gt=0)] | Literal["auto"]


class AdamWSpec(Spec):
    """m ← β1 m + (1-β1) g; v ← β2 v + (1-β2) g²; w ← w - lr (m̂ / (√v̂ + ε) + decay w).

    Source: Loshchilov & Hutter 2017, arXiv:1711.05101, algorithm 2.
    """

    type: Literal["adamw"] = "adamw"
    lr: Rate = 1e-3
    """Learning rate at its peak; auto: found by a range test."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running mean of g and of g²."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""
    decay: float = Field(1e-2, ge=0)
    """Decoupled weight decay."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, lr, self.betas, self.eps, self.decay, fused=True)


class AdamSpec(AdamWSpec):
    """As AdamW, with the decay inside the gradient. Source: Kingma & Ba 2014, arXiv:1412.6980, algorithm 1."""

    type: Literal["adam"] = "adam"  # type: ignore[assignment]
    decay: float = Field(0.0, ge=0)
    """L2 penalty."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, lr, self.betas, self.eps, self.decay, fused=True)


class AdamaxSpec(AdamSpec):
    """m ← β1 m + (1-β1) g; u ← max(β2 u, abs g + ε); w ← w - lr m̂ / u.

    Source: Kingma & Ba 2014, arXiv:1412.6980, algorithm 2.
    """

    type: Literal["adamax"] = "adamax"  # type: ignore[assignment]
    lr: Rate = 2e-3
    """Learning rate at its peak; auto: found by a range test."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running mean of g, and of the largest g."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adamax(groups, lr, self.betas, self.eps, self.decay, foreach=True)


class NadamSpec(AdamSpec):
    """As Adam, with Nesterov's momentum, its β1 rising over the steps. Source: Dozat 2016, algorithm 2."""

    type: Literal["nadam"] = "nadam"  # type: ignore[assignment]
    lr: Rate = 2e-3
    """Learning rate at its peak; auto: found by a range test."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.NAdam(groups, lr, self.betas, self.eps, self.decay, foreach=True)


class RadamSpec(AdamSpec):
    """As Adam, without v in the first steps and with a correction of its variance after them.

    Source: Liu et al. 2019, arXiv:1908.03265, algorithm 2.
    """

    type: Literal["radam"] = "radam"  # type: ignore[assignment]

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.RAdam(groups, lr, self.betas, self.eps, self.decay, foreach=True)


class AdagradSpec(Spec):
    """s ← s + g²; w ← w - lr g / (√s + ε). Source: Duchi et al. 2011, section 1.1."""

    type: Literal["adagrad"] = "adagrad"
    lr: Rate = 1e-2
    """Learning rate at its peak; auto: found by a range test."""
    decay: float = Field(0.0, ge=0)
    """L2 penalty."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(groups, lr, weight_decay=self.decay, fused=True)


class AdadeltaSpec(Spec):
    """v ← ρ v + (1-ρ) g²; d = g √(s + ε) / √(v + ε); s ← ρ s + (1-ρ) d²; w ← w - lr d.

    Source: Zeiler 2012, arXiv:1212.5701, algorithm 1.
    """

    type: Literal["adadelta"] = "adadelta"
    lr: Rate = 1.0
    """Learning rate at its peak; auto: found by a range test."""
    rho: float = Field(0.9, gt=0, lt=1)
    """Decay of the running means of g² and of d²."""
    eps: float = Field(1e-6, gt=0)
    """Added under both roots."""
    decay: float = Field(0.0, ge=0)
    """L2 penalty."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adadelta(groups, lr, self.rho, self.eps, self.decay, foreach=True)


class RmspropSpec(Spec):
    """v ← α v + (1-α) g²; u ← μ u + g / (√v + ε); w ← w - lr u. Source: Tieleman & Hinton 2012, lecture 6.5."""

    type: Literal["rmsprop"] = "rmsprop"
    lr: Rate = 1e-3
    """Learning rate at its peak; auto: found by a range test."""
    alpha: float = Field(0.99, gt=0, lt=1)
    """Decay of the running mean of g²."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Share of the last step that is kept."""
    decay: float = Field(0.0, ge=0)
    """L2 penalty."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(
            groups, lr, self.alpha, weight_decay=self.decay, momentum=self.momentum, foreach=True
        )


class AdafactorSpec(Spec):
    """As Adam without m, v of a matrix held as its row and column means; the step is in units of the weight's own size.

    w ← w - min(lr, 1/√t) · max(0.001, rms w) · u / max(1, rms u) - lr · decay · w, with u = g / √v.
    Source: Shazeer & Stern 2018, arXiv:1804.04235, algorithms 4 and 5.
    """

    type: Literal["adafactor"] = "adafactor"
    lr: Rate = 1e-2
    """Learning rate at its peak, as a share of a weight's own size; auto: found by a range test."""
    decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adafactor(groups, lr, weight_decay=self.decay, foreach=True)
