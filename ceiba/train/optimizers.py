"""Optimizers: how a gradient g becomes a step of the weights w. Torch's fused kernels do the work.

Decay is decoupled (w ← w - lr · decay · w, Loshchilov & Hutter 2017, arXiv:1711.05101) where the class says so, else
added to g as the gradient of an L2 penalty. Biases, gains of norms and embeddings of one dimension are never decayed.
"""

import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from ceiba.base.spec import Spec, one_of
from ceiba.layers import EnsembleLinear
from ceiba.train.adaptive import (
    AdadeltaSpec,
    AdafactorSpec,
    AdagradSpec,
    AdamaxSpec,
    AdamSpec,
    Groups,
    NadamSpec,
    RadamSpec,
    Rate,
    RmspropSpec,
)
from ceiba.train.adaptive import AdamWSpec as AdamWSpec
from ceiba.train.muon import MuonSpec


class SgdSpec(Spec):
    """u ← μ u + g; w ← w - lr u (Nesterov: lr (g + μ u)). Source: Sutskever et al. 2013, equations 1-4."""

    type: Literal["sgd"] = "sgd"
    lr: Rate = 0.1
    """Learning rate at its peak; auto: found by a range test."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the last step that is kept."""
    nesterov: bool = False
    """Take the gradient where the momentum leads."""
    decay: float = Field(5e-4, ge=0)
    """L2 penalty."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        nesterov = self.nesterov and self.momentum > 0
        return torch.optim.SGD(groups, lr, self.momentum, 0.0, self.decay, nesterov, fused=True)


class RpropSpec(Spec):
    """s ← 1.2 s where g keeps its sign, 0.5 s where it turns; w ← w - s sign(g), or no step where it has turned.

    For full batches only: the size of g is not looked at. Source: Riedmiller & Braun 1993, equations 4-6.
    """

    type: Literal["rprop"] = "rprop"
    lr: float = Field(1e-2, gt=0)
    """First step s of every weight; a schedule does not change those that follow."""

    def build(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        return torch.optim.Rprop(groups, lr, foreach=True)


OPTIMIZERS: dict[str, type[Spec]] = {
    "adamw": AdamWSpec,
    "adam": AdamSpec,
    "sgd": SgdSpec,
    "muon": MuonSpec,
    "adagrad": AdagradSpec,
    "rmsprop": RmspropSpec,
    "adadelta": AdadeltaSpec,
    "adamax": AdamaxSpec,
    "nadam": NadamSpec,
    "radam": RadamSpec,
    "adafactor": AdafactorSpec,
    "rprop": RpropSpec,
}

OptimizerSpec = one_of(OPTIMIZERS, "adamw")


def own_rate(spec: Any) -> float:
    """The learning rate that a spec tells, or its kind's default where it is left to `auto`."""
    return float(type(spec)().lr if spec.lr == "auto" else spec.lr)


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


def parameter_groups(model: nn.Module) -> Groups:
    """Weights with two or more dimensions are decayed, all others not; parts whose learning rate has a factor apart.

    The first `matrices` of a group are those of dense layers before the heads, which Muon treats apart.
    """
    factors: dict[str, float] = getattr(model, "lr_factors", {})
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    by_factor: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in trained.items():
        factor = next((value for start, value in factors.items() if name.startswith(start)), 1.0)
        by_factor.setdefault(factor, []).append(parameter)
    dense = {
        id(layer.weight)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | EnsembleLinear) and not name.startswith("heads.")
    }
    groups: Groups = []
    for factor, parameters in by_factor.items():
        weights = [parameter for parameter in parameters if parameter.ndim >= 2]
        matrices = [parameter for parameter in weights if id(parameter) in dense]
        others = [parameter for parameter in weights if id(parameter) not in dense]
        told = {} if factor == 1 else {"factor": factor}
        groups.append({"params": matrices + others, "matrices": len(matrices), **told})
        rest = [parameter for parameter in parameters if parameter.ndim < 2]
        groups.append({"params": rest, "weight_decay": 0.0, **told})
    return groups
