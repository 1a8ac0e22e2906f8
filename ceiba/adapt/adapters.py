"""Adapters that stand beside a language model while it writes: from bundles that were adapted from it, and from folders
that the package peft wrote."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ceiba.base.errors import BundleError, DataError, InputError, listed
from ceiba.base.files import MANIFEST
from ceiba.bundle import Bundle, open_bundle, weight_files_of
from ceiba.export.huggingface import WRITERS
from ceiba.export.peft import family_of_base
from ceiba.families import read_adapter
from ceiba.families.folder import opened
from ceiba.families.peft import CONFIG
from ceiba.fields import Fields, TokenField
from ceiba.generate import Adapter
from ceiba.model import Model
from ceiba.surgery import LoraOptions
from ceiba.surgery.adapters import Pair, thin_pair
from ceiba.surgery.lora import block_layers, size

MATRIX = re.compile(r"(.*)\.(down|up)\.(\w+)")
SLOT = re.compile(r"(encoder|head)s\.(\d+)_[^.]*(\..*)")


def read_adapters(
    folders: Mapping[str, str | Path], base: Bundle, trust: Path | None, model: Model, field: TokenField
) -> dict[str, Adapter]:
    """Adapters by name, for the plain model of a bundle and its tokens; where `trust` names keys, they must be signed.

    Raises: BundleError for a bundle that was not adapted by LoRA, or from another base; DataError and RecipeError for
    another adapter of peft's than plain LoRA of this network; InputError for a folder that is neither.
    """
    if folders and base.edits:
        do = f"Run: ceiba adapt {base.folder} --merge --out DIR"
        raise BundleError(f"{base.folder} must be plain to have adapters beside it", "LoRA of its own", do)
    own = dict(named(iter(model.state_dict().items()), writer_of(base)))
    found = {}
    for name, folder in folders.items():
        path = Path(folder)
        if any((one / MANIFEST).is_file() for one in (path, path / "bundle")):
            found[name] = of_bundle(open_bundle(path, trust), base, own, model, field)
        elif (path / CONFIG).is_file() and trust is None:
            found[name] = of_peft(path, base, model, field)
        else:
            kind = "a signed bundle" if trust is not None else f"a bundle, a run, or a folder with {CONFIG}"
            raise InputError(f"The adapter {name} must be {kind}", folder, "Check the name")
    return found


def of_bundle(bundle: Bundle, base: Bundle, own: Mapping[str, Tensor], model: Model, field: TokenField) -> Adapter:
    """The matrices of a bundle whose other weights are the base's."""
    edits = [edit for edit in bundle.edits if edit["type"] == "lora"]
    if len(edits) != 1 or len(bundle.edits) != 1:
        raise BundleError(f"{bundle.folder} must have LoRA matrices to be an adapter", bundle.edits, "Adapt with lora")
    matrices: dict[str, Tensor] = {}
    seen, others = set[str](), set[str]()
    for name, value in named(weights_of(bundle), writer_of(bundle)):
        if MATRIX.fullmatch(name):
            matrices[name] = value
            continue
        name = name.replace(".base.", ".")
        seen.add(name)
        if name not in own or not torch.equal(own[name], value):
            others.add(name)
    if others := others | (set(own) - seen):
        began = f"that began with {bundle.parents[-1]['identity'][:12]}" if bundle.parents else "without a parent"
        raise BundleError(
            f"The adapter {bundle.folder} must stand beside the weights of {base.folder} ({base.identity[:12]})",
            f"a bundle {began}, with others in {listed(sorted(others))}", "Name its own base, or adapt this one",
        )  # fmt: skip
    learnt = own_field(bundle)
    if (learnt.vocab, learnt.trained) != (field.vocab, field.trained):
        raise BundleError(f"The adapter {bundle.folder} must have the tokens of its base", "others", "Adapt it anew")
    options = LoraOptions.model_validate(edits[0])
    return Adapter(pairs_of(model, matrices, options.alpha / options.rank, str(bundle.folder)), learnt)


def of_peft(folder: Path, base: Bundle, model: Model, field: TokenField) -> Adapter:
    """The matrices of a folder that peft wrote; what network they were learnt beside only their shapes tell."""
    read = read_adapter(folder, *family_of_base(base, model))
    return Adapter(pairs_of(model, read.matrices, read.alpha / read.rank, str(folder)), field)


def pairs_of(model: Model, matrices: Mapping[str, Tensor], scale: float, where: str) -> dict[str, Pair]:
    """LoRA's matrices by the model's own layers.

    Raises: DataError if the model has no layer for one of them, or one holds what is no number.
    """
    found, left = {}, set(matrices)
    for path, layer, parts in block_layers(model):
        start = SLOT.sub(r"\1\3", path)
        down = {part: one for part in parts if (one := matrices.get(f"{start}.down.{part}")) is not None}
        up = {part: one for part in parts if (one := matrices.get(f"{start}.up.{part}")) is not None}
        chosen = {part: rows for part, rows in parts.items() if part in down and part in up}
        left -= {f"{start}.{end}.{part}" for end in ("down", "up") for part in chosen}
        inputs = size(layer, "in_features")
        for part, (first, last) in chosen.items():
            rank = len(down[part])
            if down[part].shape != (rank, inputs) or up[part].shape != (last - first, rank):
                raise DataError(f"{where} must fit the layers of its base", f"others in {path}", "Name its own base")
        if chosen:
            found[path] = thin_pair(size(layer, "out_features"), chosen, scale, down, up)
    if left:
        raise DataError(f"{where} must fit the layers of its base", listed(sorted(left)), "Name its own base")
    if broken := [path for path, pair in found.items() if not all(one.isfinite().all() for one in pair)]:
        raise DataError(f"{where} must hold numbers", f"others in {listed(broken)}", "Use an undamaged copy")
    return found


def weights_of(bundle: Bundle) -> Iterator[tuple[str, Tensor]]:
    """(name, weight) of each weight of a bundle, one after another."""
    for part in weight_files_of(bundle.weights_path):
        with opened(part) as file:
            yield from ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118


def named(weights: Iterator[tuple[str, Tensor]], writer: int) -> Iterator[tuple[str, Tensor]]:
    """The weights of a language model by names that are alike whatever its columns are called; heads of other targets
    are left out."""
    for name, value in weights:
        slot = SLOT.fullmatch(name)
        if slot is None or slot[1] == "encoder":
            yield SLOT.sub(r"\1\3", name), value
        elif int(slot[2]) == writer:
            yield f"head{slot[3]}", value


def writer_of(bundle: Bundle) -> int:
    """The place of the head that writes.

    Raises: BundleError if there is none.
    """
    kinds = [head.get("type") for head in bundle.model["spec"]["heads"].values()]
    place = next((place for place, kind in enumerate(kinds) if kind in WRITERS), None)
    if place is None:
        raise BundleError(f"{bundle.folder} must hold a language model", "no next_token head", "Train one")
    return place


def own_field(bundle: Bundle) -> TokenField:
    """The field of a language model's text."""
    fields = Fields.from_json(bundle.fields_json, bundle.field_files())
    found = fields.inputs[list(bundle.model["spec"]["heads"])[writer_of(bundle)]]
    assert isinstance(found, TokenField)
    return found
