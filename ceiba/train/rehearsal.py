"""A training in several processes, rehearsed in one: a step of one process's share, and what each of them will hold."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ceiba.answers import Answer
from ceiba.base.errors import RecipeError
from ceiba.batches import Batches
from ceiba.model import Model
from ceiba.train.auto import defaults
from ceiba.train.fitting import step_bytes
from ceiba.train.spec import TrainSpec
from ceiba.train.step import Run, keep_blocks, pick_device
from ceiba.train.world import BLOCKS, World


@dataclass(frozen=True)
class Rehearsal:
    """What N processes will do, each of them at most."""

    ranks: int
    rows: tuple[int, ...]
    """Rows of a whole step, by process."""
    last_rows: tuple[int, ...]
    """Rows of the last step of an epoch, by process."""
    inputs: dict[str, tuple[int, ...]]
    """Shapes of the largest share of a step."""
    outputs: dict[str, tuple[int, ...]]
    parameters: int
    memory_bytes: dict[str, int]
    """Of one process: weights, gradients, optimizer states, and the rest of a step."""

    @property
    def notes(self) -> list[str]:
        """What is allowed but costs something."""
        told = []
        if idle := sum(not rows for rows in self.rows):
            told.append(f"{idle} of {self.ranks} processes have no row in any step: raise train.batch_rows")
        elif len(set(self.rows)) > 1:
            told.append(f"a step's {sum(self.rows)} rows do not divide by {self.ranks}: some processes wait for others")
        if any(not rows for rows in self.last_rows) and all(self.rows):
            told.append(f"the last step of an epoch has {sum(self.last_rows)} rows: some processes have none in it")
        return told


def check(model: nn.Module, spec: TrainSpec, cuts: bool) -> None:
    """Raises: RecipeError for what cannot be trained in this way or on this device."""
    if cuts and (spec.l1 or spec.l2):
        raise RecipeError("train.l1 and l2 need whole weights", "parallel: fsdp", "Use parallel: ddp, or decay")
    has_lstm = any(isinstance(one, nn.LSTM) for one in model.modules())
    if has_lstm and spec.precision == "fp16" and pick_device(spec.device) == "cpu":
        raise RecipeError("train.precision must not be fp16 for an LSTM on a processor", None, "Use bf16 or fp32")


def rehearse(
    model: Model, train: Batches, valid: Batches, answers: Mapping[str, Answer], spec: TrainSpec, ranks: int
) -> Rehearsal:
    """One step of the first process's share of the largest batch; the model is left as it is.

    Raises: RecipeError where the recipe does not allow it.
    """
    cuts = ranks > 1 and spec.parallel == "fsdp"
    check(model, spec, cuts)
    alone = World(spec.parallel, torch.device("cpu"), alone=True)
    run = Run(deepcopy(model), train, valid, answers, spec, defaults(model, spec), alone)
    batch = train.largest(ranks).to(run.device)
    whole_step = step_bytes(run, batch)
    run.step(batch)
    with torch.no_grad():
        outputs = run.model(batch.inputs)
    keep_blocks(run.model)
    return Rehearsal(
        ranks, shares(train.batch_rows, train, ranks), shares(train.arrays.num_rows % train.batch_rows, train, ranks),
        {name: tuple(part.shape) for name, part in batch.inputs.items()},
        {name: tuple(part.shape) for name, part in outputs.items()},
        sum(one.numel() for one in run.parameters), held(run, whole_step, ranks, cuts),
    )  # fmt: skip


def shares(rows: int, train: Batches, ranks: int) -> tuple[int, ...]:
    """How many of a step's rows each process has; of a remainder of none, as of a whole step."""
    rows = min(rows or train.batch_rows, train.arrays.num_rows)
    return tuple(len(range(rank, rows, ranks)) for rank in range(ranks))


def held(run: Run, whole_step: int, ranks: int, cuts: bool) -> dict[str, int]:
    """What one process holds: all of it, or its share and the largest block that is put together at one time."""
    states = [value for one in run.optimizer.state.values() for value in one.values() if isinstance(value, Tensor)]
    weights = sum(one.nbytes for one in run.parameters)
    found = {"weights": weights, "gradients": weights, "optimizer_states": sum(one.nbytes for one in states)}
    found = {name: -(-size // ranks) if cuts else size for name, size in found.items()}
    found["rest_of_step"] = whole_step - weights
    blocks = [
        sum(one.nbytes for one in block.parameters()) for block in run.model.modules() if isinstance(block, BLOCKS)
    ]
    if cuts:  # weights and gradients of one block; what is in no block is put together as one
        found["gathered"] = 2 * max([*blocks, weights - sum(blocks)])
    elif ranks > 1:
        found["buckets"] = weights  # in which gradients are averaged
    return found
