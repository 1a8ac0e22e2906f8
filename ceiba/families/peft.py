"""Adapters as the package peft keeps them, adapter_config.json and adapter_model.safetensors ↔ LoRA's own matrices.

Their names are those of the foreign layers that they stand beside: `base_model.model.LAYER.lora_A.weight`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ceiba.base.errors import DataError, RecipeError, listed
from ceiba.families.family import Family, Network
from ceiba.families.folder import opened, read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
START, DOWN, UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
PARTS: dict[str, dict[int, tuple[str, ...]]] = {
    "attention.query_key_value": {1: ("query_key_value",), 3: ("query", "key", "value")},
    "attention.out": {1: ("out",)},
    "feed_forward.0": {1: ("up",), 2: ("gate", "up")},
    "feed_forward.3": {1: ("down",)},
}
"""Own layer of a block → by how many foreign layers make it up, what each of them makes."""
PLAIN: dict[str, Any] = {
    "use_dora": False, "lora_bias": False, "bias": "none", "rank_pattern": {}, "alpha_pattern": {},
    "target_parameters": None, "modules_to_save": None,
}  # fmt: skip
"""What an adapter must not have been changed in, and how it is unless it was."""


@dataclass(frozen=True)
class Place:
    """Where a pair of matrices stands in Ceiba's layers."""

    layer: str
    """`encoder.` or `trunk.` and the name below it."""
    part: str
    """One of LoRA's targets."""

    def names(self) -> tuple[str, str]:
        """The own names of the matrix that reads, and of the one that writes."""
        return f"{self.layer}.down.{self.part}", f"{self.layer}.up.{self.part}"


@dataclass(frozen=True)
class Adapter:
    """LoRA's options, and its matrices by own name."""

    rank: int
    alpha: float
    targets: tuple[str, ...]
    matrices: dict[str, Tensor]


def lora_places(family: Family, network: Network) -> dict[str, Place]:
    """Foreign layer → where its matrices stand."""
    found = {}
    for weight in family.weights(network):
        own = weight.own.removesuffix(".weight")
        for layer, parts in PARTS.items():
            if own.endswith(f".{layer}") and weight.own.endswith(".weight"):
                for name, part in zip(weight.foreign, parts[len(weight.foreign)], strict=True):
                    found[name.removesuffix(".weight")] = Place(own, part)
    return found


def read_adapter(folder: Path, family: Family, network: Network) -> Adapter:
    """An adapter of a network of some family; a layer that it leaves alone has matrices of zeros.

    Raises: RecipeError for another kind of adapter than plain LoRA of one rank; DataError for a damaged one, or one of
    another network.
    """
    config, where = read_json(folder / CONFIG), folder / CONFIG
    if config.get("peft_type") != "LORA":
        raise RecipeError(f"{where} must describe LoRA", config.get("peft_type"), "Merge it into its base elsewhere")
    for key, plain in PLAIN.items():
        if config.get(key, plain) not in (plain, None):
            raise RecipeError(f"{where} {key} must be {plain}", config[key], "Merge it into its base elsewhere")
    places, rank = lora_places(family, network), int(config["r"])
    with opened(folder / WEIGHTS) as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    matrices = {}
    for name, value in tensors.items():
        end = DOWN if name.endswith(DOWN) else UP
        layer = name.removeprefix(START).removesuffix(end).removeprefix(family.prefix)
        if layer not in places or value.ndim != 2 or value.shape[0 if end == DOWN else 1] != rank:
            known = f"LoRA of rank {rank} beside layers of {family.name}"
            raise DataError(
                f"{folder / WEIGHTS} must hold {known}", f"{name} {tuple(value.shape)}", "Name its own base"
            )
        matrices[places[layer].names()[end == UP]] = value
    parts = {place.part for place in places.values() if place.names()[0] in matrices}
    if not parts:
        raise DataError(f"{folder / WEIGHTS} must hold LoRA's matrices", listed(tensors) or "none", "Download it again")
    for place in places.values():
        _complete(place, matrices, parts)
    alpha = float(config.get("lora_alpha", rank)) * (math.sqrt(rank) if config.get("use_rslora") else 1)
    return Adapter(rank, alpha, tuple(sorted(parts)), matrices)


def _complete(place: Place, matrices: dict[str, Tensor], parts: set[str]) -> None:
    """Matrices of zeros beside a layer that an adapter leaves alone while it has some beside its like."""
    down, up = place.names()
    if place.part in parts and down not in matrices:
        like = next(name for name in matrices if name.endswith(f".down.{place.part}") and _kind(name) == _kind(down))
        matrices[down] = torch.zeros_like(matrices[like])
        matrices[up] = torch.zeros_like(matrices[like.replace(".down.", ".up.")])


def _kind(name: str) -> str:
    """A name without the number of its block."""
    return ".".join(part for part in name.split(".") if not part.isdigit())


def adapter_files(
    matrices: Mapping[str, Tensor], options: Mapping[str, Any], family: Family, network: Network, start: str, base: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(adapter_config.json, its tensors) of matrices by own name. `start` stands before the names of layers in the
    model that the adapter is for; `base` is where that lies."""
    tensors, layers = {}, []
    for layer, place in lora_places(family, network).items():
        if place.names()[0] in matrices:
            layers.append(start + layer)
            for own, end in zip(place.names(), (DOWN, UP), strict=True):
                tensors[f"{START}{start}{layer}{end}"] = matrices[own].detach().cpu().float().contiguous()
    config = {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": base, "r": options["rank"],
        "lora_alpha": options["alpha"], "lora_dropout": options["dropout"], "bias": "none", "inference_mode": True,
        "target_modules": layers, "fan_in_fan_out": any(one.form == "transposed" for one in family.weights(network)),
    }  # fmt: skip
    return config, tensors
