"""Optimizers: how a gradient g becomes a step of the weights w. Torch's fused kernels do the work.

Decay is decoupled (w ← w - lr · decay · w, Loshchilov & Hutter 2017, arXiv:1711.05101) where the class says so, else
added to g as the gradient of an L2 penalty. Biases, gains of norms and embeddings of one dimension are never decayed.
"""

import inspect
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec, one_of


class AdamWSpec(Spec):
    """m ← β1 m + (1-β1) g; v ← β2 v + (1-β2) g²; w ← w - lr (m̂ / (√v̂ + ε) + decay w).

    Source: Loshchilov & Hutter 2017, arXiv:1711.05101, algorithm 2.
    """

    type: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    """Learning rate at its peak."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running mean of g and of g²."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""
    decay: float = Field(1e-2, ge=0)
    """Decoupled weight decay."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, self.lr, self.betas, self.eps, self.decay, fused=True)


class AdamSpec(AdamWSpec):
    """As AdamW, with the decay inside the gradient. Source: Kingma & Ba 2014, arXiv:1412.6980, algorithm 1."""

    type: Literal["adam"] = "adam"  # type: ignore[assignment]
    decay: float = Field(0.0, ge=0)
    """L2 penalty."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, self.lr, self.betas, self.eps, self.decay, fused=True)


class SgdSpec(Spec):
    """u ← μ u + g; w ← w - lr u (Nesterov: lr (g + μ u)). Source: Sutskever et al. 2013, equations 1-4."""

    type: Literal["sgd"] = "sgd"
    lr: float = Field(0.1, gt=0)
    """Learning rate at its peak."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the last step that is kept."""
    nesterov: bool = False
    """Take the gradient where the momentum leads."""
    decay: float = Field(5e-4, ge=0)
    """L2 penalty."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        nesterov = self.nesterov and self.momentum > 0
        return torch.optim.SGD(groups, self.lr, self.momentum, 0.0, self.decay, nesterov, fused=True)


class AdagradSpec(Spec):
    """s ← s + g²; w ← w - lr g / (√s + ε). Source: Duchi et al. 2011, section 1.1."""

    type: Literal["adagrad"] = "adagrad"
    lr: float = Field(1e-2, gt=0)
    """Learning rate at its peak."""
    decay: float = Field(0.0, ge=0)
    """L2 penalty."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(groups, self.lr, weight_decay=self.decay, fused=True)


class RmspropSpec(Spec):
    """v ← α v + (1-α) g²; u ← μ u + g / (√v + ε); w ← w - lr u. Source: Tieleman & Hinton 2012, lecture 6.5."""

    type: Literal["rmsprop"] = "rmsprop"
    lr: float = Field(1e-3, gt=0)
    """Learning rate at its peak."""
    alpha: float = Field(0.99, gt=0, lt=1)
    """Decay of the running mean of g²."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Share of the last step that is kept."""
    decay: float = Field(0.0, ge=0)
    """L2 penalty."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(
            groups, self.lr, self.alpha, weight_decay=self.decay, momentum=self.momentum, foreach=True
        )


OPTIMIZERS: dict[str, type[Spec]] = {
    "adamw": AdamWSpec,
    "adam": AdamSpec,
    "sgd": SgdSpec,
    "adagrad": AdagradSpec,
    "rmsprop": RmspropSpec,
}

OptimizerSpec = one_of(OPTIMIZERS, "adamw")


def spare_the_compiler() -> None:
    """Keep torch from importing its compiler, which takes a second, only to keep optimizers out of compiled graphs.

    Its optimizers call four methods through a wrapper that looks for this attribute before it imports anything. A later
    `torch.compile` of the model is not concerned: optimizers are never compiled here.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        method = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if method is not None and not hasattr(method, "__dynamo_disable"):
            setattr(method, "__dynamo_disable", method)


def bare_step(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """The optimizer's step as its file has it, without the wrappers (hooks, graph breaks) that import the compiler."""
    raw = inspect.unwrap(type(optimizer).step)

    @torch.no_grad()
    def step() -> None:
        raw(optimizer)

    return step


def parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """Weights with two or more dimensions are decayed, all others not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2]},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
