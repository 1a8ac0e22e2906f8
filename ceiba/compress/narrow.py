"""Structured pruning: channels, hidden units, heads and layers are taken out, and what is left is an ordinary, smaller
network: a spec with smaller knobs, and the weights of the channels that were kept.

Channels that stand for one another (what a convolution gives, its norm, what the next one reads) go together; first
those whose weights are shortest over all these places.
Sources: Li et al. 2017, arXiv:1608.08710, section 3.1 (norm of filters); Fang et al. 2023, arXiv:2301.12900, section
3.3 (norm over a group of dependent tensors).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ceiba.fields import Layout
from ceiba.model import Model, ModelSpec, build_model, kind_of

LEAST = 4
"""Channels that are never gone below."""


@dataclass(frozen=True)
class Place:
    """One axis of one tensor that holds the channels: `before` runs of them, `inner` numbers for each."""

    name: str
    axis: int
    before: int = 1
    inner: int = 1
    order: int = 0
    """How many groups of as many channels stand before them on the axis."""


@dataclass(frozen=True)
class Cut:
    """Channels that can be taken out together."""

    size: int
    kept: int
    places: tuple[Place, ...]

    def keep(self, weights: Mapping[str, Tensor], each: int) -> Tensor:
        """The channels with the longest weights, in their own order; groups before them have `each` channels."""
        score = torch.zeros(self.size, dtype=torch.float64)
        for place in self.places:
            whole = weights[place.name]
            if whole.ndim > 1:
                part = whole.narrow(place.axis, place.order * each, place.before * self.size * place.inner)
                split = part.movedim(place.axis, 0).reshape(place.before, self.size, place.inner, -1).double()
                score += split.square().sum((0, 2, 3)) / split.square().sum().clamp(min=1e-30)
        return score.topk(self.kept).indices.sort().values

    def rows(self, place: Place, channels: Tensor, each: int) -> Tensor:
        """The positions of some channels on a place's axis, in order."""
        runs = torch.arange(place.before)[:, None, None] * self.size
        inside = (runs + channels[None, :, None]) * place.inner + torch.arange(place.inner)
        return inside.flatten() + place.order * each


Plan = tuple[Any, list[Cut], dict[str, str]]
"""A smaller spec, what is cut, and the new name of every tensor that moves (layers that are left out)."""
Planner = Callable[[Any, str, Mapping[str, Tensor], float, int], Plan]


def kept_of(size: int, share: float) -> int:
    """How many of `size` channels stay: a multiple of four, which kernels like."""
    return min(size, max(min(LEAST, size), round(size * share / 4) * 4))


def resnet(spec: Any, at: str, weights: Mapping[str, Tensor], share: float, dim: int) -> Plan:
    """Each stage's width and each block's inner width: what a stage's blocks add up to is one group of channels."""
    widths = tuple(kept_of(width, share) for width in spec.channels)
    cuts, before = [], [Place(f"{at}stages.0.0.weight", 0), *batch_norm(f"{at}stages.0.1")]
    for stage, (old, new) in enumerate(zip(spec.channels, widths, strict=True)):
        for block in range(spec.blocks):
            here = f"{at}stages.{1 + stage * spec.blocks + block}."
            first, second = Place(f"{here}branch.0.weight", 0), Place(f"{here}branch.3.weight", 1)
            cuts.append(Cut(old, new, (first, *batch_norm(f"{here}branch.1"), second)))
            reads = [Place(f"{here}branch.0.weight", 1)]
            gives = [Place(f"{here}branch.3.weight", 0), *batch_norm(f"{here}branch.4")]
            if f"{here}shortcut.0.weight" in weights:
                reads.append(Place(f"{here}shortcut.0.weight", 1))
                gives += [Place(f"{here}shortcut.0.weight", 0), *batch_norm(f"{here}shortcut.1")]
                last = spec.channels[max(stage - 1, 0)]
                cuts.append(Cut(last, widths[max(stage - 1, 0)], (*before, *reads)))
                before = gives
            else:
                before += [*reads, *gives]
    cuts.append(Cut(spec.channels[-1], widths[-1], (*before, Place(f"{at}linear.weight", 1))))
    return spec.model_copy(update={"channels": widths}), cuts, {}


def batch_norm(at: str) -> list[Place]:
    """The tensors of a batch norm."""
    return [Place(f"{at}.{name}", 0) for name in ("weight", "bias", "running_mean", "running_var")]


def image_cnn(spec: Any, at: str, weights: Mapping[str, Tensor], share: float, dim: int) -> Plan:
    """Each block's width; the dense layer reads every place of the last map."""
    widths, cuts = tuple(kept_of(width, share) for width in spec.channels), []
    for block, (old, new) in enumerate(zip(spec.channels, widths, strict=True)):
        here, last = f"{at}blocks.{block}.", block == len(widths) - 1
        own = [Place(f"{here}0.weight", 0), *(batch_norm(f"{here}1") if spec.norm else [Place(f"{here}0.bias", 0)])]
        dense = f"{at}dense.0.weight"
        after = Place(f"{at}blocks.{block + 1}.0.weight", 1)
        if last:
            after = Place(dense, 1, 1, weights[dense].shape[1] // old)
        cuts.append(Cut(old, new, (*own, after)))
    return spec.model_copy(update={"channels": widths}), cuts, {}


def text_cnn(spec: Any, at: str, weights: Mapping[str, Tensor], share: float, dim: int) -> Plan:
    """The filters of each kernel width."""
    new, cuts = kept_of(spec.channels, share), []
    for place in range(len(spec.kernels)):
        own = [Place(f"{at}convolutions.convolutions.{place}.{name}", 0) for name in ("weight", "bias")]
        cuts.append(Cut(spec.channels, new, (*own, Place(f"{at}linear.weight", 1, order=place))))
    return spec.model_copy(update={"channels": new}), cuts, {}


def recurrent(spec: Any, at: str, weights: Mapping[str, Tensor], share: float, dim: int) -> Plan:
    """The units of each cell: a unit has a row in every gate."""
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[spec.type]
    new, cuts = kept_of(spec.width, share), []
    sides = ["forwards", "backwards"] if spec.bidirectional else ["forwards"]
    for layer in range(spec.layers):
        for place, side in enumerate(sides):
            here = f"{at}recurrent.{side}.{layer}."
            own = [Place(f"{here}{name}_l0", 0, gates) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            own.append(Place(f"{here}weight_hh_l0", 1))
            above = [f"{at}recurrent.{one}.{layer + 1}.weight_ih_l0" for one in sides]
            reads = [f"{at}linear.weight"] if layer == spec.layers - 1 else above
            cuts.append(Cut(spec.width, new, (*own, *(Place(name, 1, order=place) for name in reads))))
    return spec.model_copy(update={"width": new}), cuts, {}


def transformer(spec: Any, at: str, weights: Mapping[str, Tensor], share: float, dim: int) -> Plan:
    """Inner units, heads, and, from half on, every other block."""
    if spec.kv_heads not in (None, spec.heads):
        return spec, [], {}
    head_dim = spec.head_dim or dim // spec.heads
    inner = max(1, round(spec.feed_forward * dim))
    heads, width = max(1, round(spec.heads * share)), kept_of(inner, share)
    layers = max(1, round(spec.layers * min(1.0, share * 1.5))) if spec.layers > 1 else spec.layers
    blocks = [round(place * (spec.layers - 1) / max(layers - 1, 1)) for place in range(layers)] if layers > 1 else [0]
    gated = spec.activation in ("swiglu", "geglu", "geglu_tanh")
    cuts, moved = [], {}
    for new, old in enumerate(blocks):
        here = f"{at}transformer.blocks.{new}."
        for name in weights:
            if name.startswith(f"{at}transformer.blocks.{old}."):
                moved[name] = here + name.removeprefix(f"{at}transformer.blocks.{old}.")
        cuts.append(Cut(spec.heads, heads, tuple(_there(moved, [
            Place(f"{here}attention.query_key_value.weight", 0, 3, head_dim),
            Place(f"{here}attention.query_key_value.bias", 0, 3, head_dim),
            Place(f"{here}attention.out.weight", 1, 1, head_dim),
        ]))))  # fmt: skip
        cuts.append(Cut(inner, width, tuple(_there(moved, [
            Place(f"{here}feed_forward.0.weight", 0, 2 if gated else 1),
            Place(f"{here}feed_forward.0.bias", 0, 2 if gated else 1),
            Place(f"{here}feed_forward.3.weight", 1),
        ]))))  # fmt: skip
    update = {"layers": layers, "heads": heads, "head_dim": head_dim, "feed_forward": width / dim}
    left = {name: "" for name in weights if name.startswith(f"{at}transformer.blocks.") and name not in moved}
    return spec.model_copy(update=update), cuts, left | moved


def _there(moved: Mapping[str, str], places: list[Place]) -> Iterator[Place]:
    names = set(moved.values())
    return (place for place in places if place.name in names)


def table_mlp(spec: Any, at: str, weights: Mapping[str, Tensor], share: float, dim: int) -> Plan:
    """The width of all dense layers but the last."""
    new, cuts = kept_of(spec.width, share), []
    for layer in range(spec.layers - 1):
        here = f"{at}mlp.{layer}."
        own = [Place(name, 0) for name in weights if name.startswith(here) and weights[name].ndim]
        cuts.append(Cut(spec.width, new, (*own, Place(f"{at}mlp.{layer + 1}.0.weight", 1))))
    return spec.model_copy(update={"width": new}), cuts, {}


def tabm(spec: Any, at: str, weights: Mapping[str, Tensor], share: float, dim: int) -> Plan:
    """The width of all dense layers but the last, of all members alike."""
    new, cuts, step = kept_of(spec.width, share), [], 3
    for layer in range(spec.layers - 1):
        here, above = f"{at}layers.{layer * step}.", f"{at}layers.{(layer + 1) * step}."
        own = [Place(f"{here}weight", 0), Place(f"{here}output_scale", 1), Place(f"{here}bias", 1)]
        cuts.append(Cut(spec.width, new, (*own, Place(f"{above}weight", 1), Place(f"{above}input_scale", 1))))
    return spec.model_copy(update={"width": new}), cuts, {}


PLANNERS: dict[str, Planner] = {
    "image resnet": resnet, "image cnn": image_cnn, "text cnn": text_cnn, "text rnn": recurrent, "text lstm": recurrent,
    "text gru": recurrent, "text transformer": transformer, "table mlp": table_mlp, "table tabm": tabm,
}  # fmt: skip
"""Kind and name of an encoder → how its channels hang together. What is not here stays as wide as it is."""


def narrowed(model: Model, layouts: Mapping[str, Layout], share: float) -> Model | None:
    """The model with about `share` of its channels, heads and layers, and their weights; None if nothing can be cut."""
    spec, weights = model.spec, dict(model.state_dict())
    encoders: dict[str, Any] = {}
    plans: list[Plan] = []
    for name, one in spec.encoders.items():
        planner = PLANNERS.get(f"{kind_of(one)} {one.type}")
        at = f"encoders.{model.slots[name]}."
        plan: Plan = (one, [], {}) if planner is None else planner(one, at, weights, share, spec.dim)
        encoders[name] = plan[0]
        plans.append(plan)
    if encoders == dict(spec.encoders):
        return None
    smaller = ModelSpec(**{**dict(spec), "encoders": encoders})
    for _, cuts, moved in plans:
        weights = {moved.get(name, name): value for name, value in weights.items() if moved.get(name, name)}
        for cut in cuts:
            shrink(weights, cut)
    built = build_model(smaller, layouts, model.outputs)
    built.load_state_dict(weights)
    return built.eval()


def shrink(weights: dict[str, Tensor], cut: Cut) -> None:
    """Take the channels of one cut out of every tensor that holds them; groups before them are cut already."""
    kept = cut.keep(weights, cut.kept)
    for place in cut.places:
        whole = weights[place.name]
        start = place.order * cut.kept
        stop = start + place.before * cut.size * place.inner
        others = torch.arange(whole.shape[place.axis])
        rows = torch.cat([others[:start], cut.rows(place, kept, cut.kept), others[stop:]])
        weights[place.name] = whole.index_select(place.axis, rows)


def masked(model: Model, share: float) -> dict[str, Tensor]:
    """The model's weights with what `narrowed` takes out set to zero: such a network answers as the smaller one."""
    weights = dict(model.state_dict())
    for name, one in model.spec.encoders.items():
        kind = f"{kind_of(one)} {one.type}"
        at = f"encoders.{model.slots[name]}."
        for cut in PLANNERS[kind](one, at, weights, share, model.spec.dim)[1] if kind in PLANNERS else ():
            gone = torch.ones(cut.size, dtype=torch.bool)
            gone[cut.keep(weights, cut.size)] = False
            for place in cut.places:
                rows = cut.rows(place, gone.nonzero().flatten(), cut.size)
                if not place.name.endswith("running_var"):
                    weights[place.name] = weights[place.name].index_fill(place.axis, rows, 0.0)
    return weights
