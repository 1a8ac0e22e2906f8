"""Which form the weights take for writing: asked for, and kept only where it is measured to be no slower."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ceiba.generate.decoder import open_decoder
from ceiba.model import Model
from ceiba.surgery.packed import Weights, pack

WeightForm = Literal["auto", "plain", "packed", "int8", "int4"]
NEEDED_GAIN = 1.15
"""How much faster a form must be that was not asked for."""
ALLOWED_LOSS = 1.05
"""How much slower a form may measure, which is what two measurements of one thing differ by."""
STEPS, REPEATS = 3, 3


@dataclass(frozen=True)
class Prepared:
    """A model as it writes, the form of its weights, and what was measured and decided."""

    model: Model
    form: WeightForm
    notes: tuple[str, ...] = ()


def prepare_weights(model: Model, output: str, form: WeightForm, rows: int) -> Prepared:
    """The model with its weights in a form; one that is slower at so many rows than float32 is refused.

    `auto` is packed where that is faster, else plain. The model that was given is untouched.
    """
    if form == "plain" or next(model.parameters()).device.type != "cpu":
        return Prepared(model, "plain")
    free = untied(model, output)
    base = _packed(free, "packed")
    forms: dict[WeightForm, Model] = {"plain": model, "packed": base}
    if form in ("int8", "int4"):
        forms[form] = _packed(free, form)
    seconds = {name: step_seconds(one, output, rows) for name, one in forms.items()}
    best: WeightForm = "packed" if seconds["packed"] * NEEDED_GAIN < seconds["plain"] else "plain"
    told = f"a step of {rows} rows takes " + ", ".join(f"{s * 1e3:.2f} ms {name}" for name, s in seconds.items())
    if form == "auto" or seconds[form] <= seconds[best] * ALLOWED_LOSS:
        chosen = best if form == "auto" else form
        return Prepared(forms[chosen], chosen, (f"Weights {chosen}: {told}.",))
    return Prepared(forms[best], best, (f"Weights {form} were refused for {best}, which is faster: {told}.",))


def _packed(model: Model, form: Weights) -> Model:
    packed = pack(model, form)
    assert isinstance(packed, Model)
    return packed


def untied(model: Model, output: str) -> Model:
    """The same model whose head has a matrix of its own, which shares its numbers with the table of token vectors."""
    head = model.head(output)
    if not head.tied:
        return model
    table = model._table(output).detach()
    linear = nn.Linear(1, 1, bias=False)
    linear.weight = nn.Parameter(table, requires_grad=False)
    linear.in_features, linear.out_features = table.shape[1], table.shape[0]
    own = copy.copy(head)
    own._modules = {**head._modules, "linear": linear}
    own.tied = False
    freed = copy.copy(model)
    heads = nn.ModuleDict({**dict(model.heads.items()), model.head_slots[output]: own})
    freed._modules = {**model._modules, "heads": heads}
    return freed


def step_seconds(model: Model, output: str, rows: int) -> float:
    """What a step of so many rows takes, the shortest of several."""
    decoder = open_decoder(model, output, 2 + STEPS * (REPEATS + 1), rows)
    decoder.admit([[1]] * rows)
    return min(_seconds(lambda: decoder.step([[1]] * rows)) for _ in range(REPEATS + 1))


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - began) / STEPS
