"""Checkpoints: everything that a run needs to go on bit for bit, written all or nothing, verified when read.

No state of a random generator is among it: every random number has an address (law 2).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from ceiba.base.errors import BundleError, InputError, listed
from ceiba.base.files import remove_folder, verify_manifest, write_folder
from ceiba.base.progress import say
from ceiba.base.spec import leaves
from ceiba.train.spec import FREE
from ceiba.train.world import like, whole

Figures = dict[str, float]


@dataclass
class Progressed:
    """How far a run is: plain values only."""

    step: int = 0
    loss_sum: float = 0.0
    """Sum of the step losses since the last validation."""
    best_epoch: float = 0
    best_value: float = float("inf")
    history: list[Figures] = field(default_factory=list)
    seconds: float = 0.0
    skipped: list[int] = field(default_factory=list)
    """Steps that were not taken, because a loss or a gradient was not finite."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What `auto` chose, and what it measured."""
    notes: list[str] = field(default_factory=list)
    """What went wrong with checkpoints."""
    is_over: bool = False
    """Whether the time that the recipe allows has run out; no further step is taken then."""
    rolled_back: int = 0
    """How often the run went back to an earlier checkpoint's weights."""


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimizer state as named tensors: `parameter place.state name`."""
    state = optimizer.state_dict()["state"]
    return whole(
        {
            f"{place}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
            for place, values in state.items()
            for name, value in values.items()
            if value is not None
        }
    )


def restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the state that a snapshot took of it."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        place, key = name.split(".", 1)
        own = parameters[int(place)]
        state.setdefault(int(place), {})[key] = like(value, own) if value.shape == own.shape else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def snapshot(
    weights: Mapping[str, Mapping[str, Tensor]], optimizer: torch.optim.Optimizer
) -> dict[str, dict[str, Tensor]]:
    """Copies in main memory of the weights by name (model, best, mean) and of the optimizer's state."""
    groups = {**weights, "optimizer": _flat(optimizer)}
    return {
        group: {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        for group, tensors in groups.items()
    }


def num_bytes(tensors: Mapping[str, Mapping[str, Tensor]]) -> int:
    """What a snapshot takes on the disk, but for a few headers."""
    return sum(value.nbytes for group in tensors.values() for value in group.values())


def save_checkpoint(
    folder: Path,
    identity: Mapping[str, str],
    progressed: Progressed,
    tensors: Mapping[str, Mapping[str, Tensor]],
    keep: int = 2,
    most_bytes: int | None = None,
) -> Path:
    """Write `step-N` under `folder`, then remove all but the newest `keep`, and more where a disk budget asks for it.

    Raises: OSError; what was there before is then still whole.
    """
    target = folder / f"step-{progressed.step:09d}"
    if not target.exists():
        with write_folder(target) as temporary:
            for name, group in tensors.items():
                (temporary / f"{name}.safetensors").write_bytes(save(dict(group)))
            state = {"identity": dict(identity), **asdict(progressed)}
            (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
    held = 0
    whole_ones = sorted((path for path in folder.glob("step-*") if path.is_dir()), reverse=True)
    for place, path in enumerate(whole_ones):
        held += sum(file.stat().st_size for file in path.iterdir())
        if place and (place >= keep or (most_bytes is not None and held > most_bytes)):
            remove_folder(path)
    return target


def load_checkpoint(folder: Path, identity: Mapping[str, str]) -> tuple[Progressed, dict[str, dict[str, Tensor]]]:
    """The newest checkpoint under `folder` that verifies; a damaged newer one is named and passed over.

    Raises: InputError if there is none, or if it belongs to another recipe, other data or another version.
    """
    reasons = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            verify_manifest(path)
        except BundleError as error:
            reasons.append(f"{path.name}: {error}")
            continue
        told = [f"Damaged checkpoint passed over: {reason} Resuming from {path.name} instead." for reason in reasons]
        for one in told:
            say(one)
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        _same(state.pop("identity"), identity, path)
        weights = {file.stem: load(file.read_bytes()) for file in path.glob("*.safetensors")}
        state["notes"] += told
        return Progressed(**state), weights
    found = "; ".join(reasons) or "none"
    raise InputError(f"{folder} must hold a checkpoint to resume from", found, "Start without --resume")


def _same(saved: Mapping[str, str], now: Mapping[str, str], path: Path) -> None:
    for name in sorted({*saved, *now}):
        if saved.get(name) != now.get(name):
            free = f" (in train, {', '.join(FREE)} may differ)" if name == "recipe" else ""
            raise InputError(
                f"{path} belongs to another {name}",
                _difference(str(saved.get(name)), str(now.get(name))),
                f"Resume with the {name} it was started with{free}, or train into a new folder",
            )


def _difference(saved: str, now: str) -> str:
    """The first few keys in which two JSON objects differ, or the two texts."""
    try:
        before, after = (dict(leaves(json.loads(text))) for text in (saved, now))
    except ValueError:
        return f"{now} (saved: {saved})"
    keys = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return listed([f"{name}: {after.get(name)} (saved: {before.get(name)})" for name in keys])
