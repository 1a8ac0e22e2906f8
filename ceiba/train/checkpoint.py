"""Checkpoints: everything that a run needs to go on bit for bit, written all or nothing, verified when read.

No state of a random generator is among it: every random number has an address (law 2).
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from ceiba.base.errors import BundleError, InputError
from ceiba.base.files import verify_manifest, write_folder
from ceiba.base.progress import say

KEPT = 2
Figures = dict[str, float]


@dataclass
class Progressed:
    """How far a run is: plain values only."""

    step: int = 0
    loss_sum: float = 0.0
    """Sum of the step losses of the epoch in hand."""
    best_epoch: int = 0
    best_value: float = float("inf")
    history: list[Figures] = field(default_factory=list)
    seconds: float = 0.0


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimizer state as named tensors: `parameter place.state name`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{place}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for place, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        place, key = name.split(".", 1)
        state.setdefault(int(place), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save_checkpoint(
    folder: Path,
    identity: dict[str, str],
    progressed: Progressed,
    optimizer: torch.optim.Optimizer,
    weights: dict[str, dict[str, Tensor]],
) -> Path:
    """Write `step-N` under `folder`, then remove all but the newest few.

    `weights` maps a name (model, best, mean) to a state dict.
    """
    target = folder / f"step-{progressed.step:09d}"
    if target.exists():
        return target
    with write_folder(target) as temporary:
        for name, tensors in {**weights, "optimizer": _flat(optimizer)}.items():
            contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
            (temporary / f"{name}.safetensors").write_bytes(save(contiguous))
        state = {"identity": identity, **asdict(progressed)}
        (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    return target


def load_checkpoint(
    folder: Path, identity: dict[str, str], optimizer: torch.optim.Optimizer
) -> tuple[Progressed, dict[str, dict[str, Tensor]]]:
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
        for reason in reasons:
            say(f"Damaged checkpoint passed over: {reason} Resuming from {path.name} instead.")
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        _same(state.pop("identity"), identity, path)
        weights = {file.stem: load(file.read_bytes()) for file in path.glob("*.safetensors")}
        _restore(optimizer, weights.pop("optimizer"))
        return Progressed(**state), weights
    found = "; ".join(reasons) or "none"
    raise InputError(f"{folder} must hold a checkpoint to resume from", found, "Start without --resume")


def _same(saved: dict[str, str], now: dict[str, str], path: Path) -> None:
    for name in sorted({*saved, *now}):
        if saved.get(name) != now.get(name):
            raise InputError(
                f"{path} belongs to another {name}",
                f"{now.get(name)} (saved: {saved.get(name)})",
                f"Resume with the {name} it was started with, or train into a new folder",
            )
