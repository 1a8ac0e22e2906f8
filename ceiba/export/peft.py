"""An adapter folder that the package peft opens: LoRA's matrices of a bundle, without the network they stand beside."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ceiba.base.errors import BundleError, listed
from ceiba.base.files import write_bytes, write_folder, write_json
from ceiba.base.yaml import read_yaml
from ceiba.bundle import Bundle
from ceiba.export.huggingface import WRITERS, described, family_of, named, text_field
from ceiba.families import FAMILIES, Family, Network, adapter_files, network_of, open_folder, own_weights, read_adapter
from ceiba.families.peft import CONFIG, WEIGHTS
from ceiba.model import Model, open_model


def export_peft(bundle: Bundle, out: Path) -> dict[str, Any]:
    """Write the LoRA matrices of a bundle as an adapter of the folder that it began with; heads are left out.

    It is written only if reading it again gives the same matrices, and, where that folder is at hand, the other weights
    are the folder's.

    Raises: BundleError without LoRA, for a network that no family has, or weights that were trained outside LoRA.
    """
    edits = [edit for edit in bundle.edits if edit["type"] == "lora"]
    if len(edits) != 1 or len(bundle.edits) != 1:
        raise BundleError(f"{bundle.folder} must have LoRA matrices to export", f"{bundle.edits}", "Adapt it with lora")
    model = open_model(bundle)
    base, folder = _base(bundle)
    is_language_model = bool(WRITERS & {head.type for head in model.spec.heads.values()})
    own = {name.replace(".base.", "."): value for name, value in named(model).items()}
    family, network = _family(bundle, model, folder)
    if folder is not None:
        _unchanged(own, family, network, folder)
    start = family.prefix if is_language_model else ""
    config, tensors = adapter_files(own, edits[0], family, network, start, base)
    with write_folder(out, manifest=False) as target:
        write_json(target / CONFIG, config)
        write_bytes(target / WEIGHTS, save(tensors, {"format": "pt"}))
        again = read_adapter(target, family, network).matrices
        matrices = {name: value for name, value in own.items() if ".down." in name or ".up." in name}
        if set(again) != set(matrices) or any(not torch.equal(again[name], one) for name, one in matrices.items()):
            raise BundleError("What is exported must hold all matrices", listed(set(again) ^ set(matrices)), None)
    left = [name for name, head in model.spec.heads.items() if head.type not in WRITERS]
    return {"base": base, "parameters": sum(one.numel() for one in tensors.values()), "left_out": left}


def family_of_base(bundle: Bundle, model: Model) -> tuple[Family, Network]:
    """The family and the network of a bundle that adapters are for.

    Raises: BundleError for a network that no family has.
    """
    return _family(bundle, model, _base(bundle)[1])


def _base(bundle: Bundle) -> tuple[str, Path | None]:
    """What the bundle began with, as its recipe calls it, and that folder where it is at hand."""
    recipe, _ = read_yaml(bundle.recipe_text, "recipe.yaml")
    name = str(recipe.get("from", ""))
    folder = bundle.folder / name
    return (str(folder.resolve()), folder) if name and (folder / "config.json").is_file() else (name, None)


def _family(bundle: Bundle, model: Model, folder: Path | None) -> tuple[Family, Network]:
    """That of the folder, or the one whose configuration says all of the network."""
    if folder is not None:
        network = network_of(open_folder(folder))
        return FAMILIES[network.family], network
    field = text_field(bundle, model)
    network = described(model, field)
    family = family_of(network, field.shift)
    return family, replace(network, family=family.name)


def _unchanged(own: dict[str, Tensor], family: Family, network: Network, folder: Path) -> None:
    """Raises: BundleError if a weight beside LoRA's is not the folder's."""
    opened = open_folder(folder)
    there = own_weights(family.weights(network), own, lambda name: opened.read(name, (family.prefix, "")), str(folder))
    changed = [name for name, value in there.items() if not torch.equal(value, own[name].to(value.dtype))]
    if changed:
        do = "Use --to huggingface, which writes the whole network"
        raise BundleError(f"An adapter must stand beside the weights of {folder}", f"others in {listed(changed)}", do)
