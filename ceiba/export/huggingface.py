"""A folder that transformers opens: config.json, model.safetensors, and the tokenizer."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tokenizers import Tokenizer
from torch import Tensor

from ceiba.base.errors import BundleError, CeibaError, listed
from ceiba.base.files import write_bytes, write_folder, write_json
from ceiba.bundle import Bundle
from ceiba.families import FAMILIES, Family, Network, foreign_weights, network_of, open_folder, own_weights
from ceiba.fields import Fields
from ceiba.fields.tokens import TokenField
from ceiba.layers import TransformerOptions
from ceiba.model import Model, open_model
from ceiba.surgery import merge_lora

WRITERS = {"next_token", "preference"}
"""Heads of language models."""
ROLES = {
    "begin": "bos",
    "end": "eos",
    "turn": "eos",
    "padding": "pad",
    "unknown": "unk",
    "separator": "sep",
    "class": "cls",
    "mask": "mask",
}
IDS = ("bos", "eos", "pad")
"""Special tokens whose ids config.json names."""


def export_huggingface(bundle: Bundle, out: Path) -> dict[str, Any]:
    """Write the text encoder, or the whole language model, of a bundle as the family that says the same.

    LoRA is merged; heads of other tasks are left out. It is written only if reading it again gives the same weights.

    Raises: BundleError for another network than a family has, or texts without a tokenizer of tokens.
    """
    told = told_as_family(bundle)
    family, network, field, is_language_model = told.family, told.network, told.field, told.is_language_model
    kind = family.language_model if is_language_model else family.architecture
    config = {"model_type": family.name, "architectures": [kind], **family.write(network), **special_ids(field)}
    with write_folder(out, manifest=False) as folder:
        write_json(folder / "config.json", config)
        write_bytes(folder / "model.safetensors", save(told.tensors, {"format": "pt"}))
        write_bytes(folder / "tokenizer.json", field.trained.encode())
        write_json(folder / "tokenizer_config.json", tokenizer_config(field))
        check(folder, told.own, network)
    num_weights = sum(one.numel() for one in told.tensors.values())
    return {"family": family.name, "parameters": num_weights, "left_out": told.left_out}


@dataclass(frozen=True)
class Told:
    """A bundle's network in the words of a family."""

    family: Family
    network: Network
    field: TokenField
    own: dict[str, Tensor]
    """The weights by the names of the family's table."""
    tensors: dict[str, Tensor]
    """The same by foreign names, as the family's class with its head has them."""
    is_language_model: bool
    left_out: list[str]
    """Targets whose heads no family has."""


def told_as_family(bundle: Bundle) -> Told:
    """The text encoder, or the whole language model, of a bundle, LoRA merged.

    Raises: BundleError for another network than a family has, or texts without a tokenizer of tokens.
    """
    model = open_model(bundle)
    merge_lora(model)
    field = text_field(bundle, model)
    network = described(model, field)
    family = family_of(network, field.shift)
    network = replace(network, family=family.name)
    kinds = {name: head.type for name, head in model.spec.heads.items()}
    own = named(model)
    tensors = foreign_weights(family.weights(network), own, network)
    if is_language_model := bool(WRITERS & set(kinds.values())):
        tensors = {name if name.startswith("lm_head.") else family.prefix + name: one for name, one in tensors.items()}
    left = [name for name, kind in kinds.items() if kind not in WRITERS]
    return Told(family, network, field, own, tensors, is_language_model, left)


def text_field(bundle: Bundle, model: Model) -> TokenField:
    """The field of the only text. Raises: BundleError for several, none, or n-grams."""
    fields = Fields.from_json(bundle.fields_json, bundle.field_files())
    known = {**fields.inputs, **fields.outputs}
    texts = [known[name] for name in model.groups if isinstance(known.get(name), TokenField)]
    if len(model.groups) != 1 or len(texts) != 1 or not isinstance(texts[0], TokenField):
        raise BundleError(f"{bundle.folder} must read one text, as tokens", listed(model.groups), "Use --to onnx")
    return texts[0]


def described(model: Model, field: TokenField) -> Network:
    """The network of a model in the words of the families. Raises: BundleError if it is no Transformer of one text."""
    encoder, trunk = next(iter(model.spec.encoders.values())), model.spec.trunk
    blocks = trunk if trunk.type == "transformer" else encoder
    if encoder.type != "transformer" or (blocks is trunk) != (encoder.layers == 0):
        raise BundleError(
            "A folder for transformers holds one Transformer", f"{encoder.type}, {trunk.type}", "Use --to onnx"
        )
    is_learned = encoder.positions.type == "learned"
    told = {name: getattr(blocks, name) for name in TransformerOptions.model_fields}
    if blocks is encoder and is_learned:
        told["positions"] = TransformerOptions().positions
    ties = [head.tied for head in model.spec.heads.values() if head.type in WRITERS]
    return Network(
        "", model.spec.dim, field.vocab - field.shift, TransformerOptions(**told),
        (encoder.positions.places or field.max_tokens) if is_learned else None,
        encoder.embedding_norm, encoder.segments, all(ties),
    )  # fmt: skip


def family_of(network: Network, shift: int) -> Family:
    """The first family whose configuration says all of the network; RoBERTa's where padding is not its own id 0.

    Raises: BundleError if none does.
    """
    order = sorted(FAMILIES.values(), key=lambda one: one.name != "roberta" if shift else one.name == "roberta")
    for family in order:
        if (network.places is None) == (family.name in ("llama", "mistral", "qwen2", "qwen3")):
            try:
                again = family.read(family.write(replace(network, family=family.name)))
            except (CeibaError, KeyError, TypeError, ValueError):
                continue
            if again.is_like(plain(network)):
                return family
    raise BundleError("A family must have all options of the network", network.options.model_dump(), "Use --to onnx")


def plain(network: Network) -> Network:
    """The same with every width and number of heads told, as the configurations have them."""
    options = network.options
    told: dict[str, Any] = {"feed_forward": round(options.feed_forward * network.dim) / network.dim}
    if network.places is None:
        told |= {"head_dim": options.head_dim or network.dim // options.heads}
        told |= {"kv_heads": options.kv_heads or options.heads}
    return replace(network, options=options.model_copy(update=told))


def named(model: Model) -> dict[str, Tensor]:
    """The weights by the names that the families' tables have."""
    slots = {f"encoders.{next(iter(model.slots.values()))}.": "encoder.", "trunk.": "trunk."}
    slots |= {
        f"heads.{model.head_slots[name]}.": "head." for name, head in model.spec.heads.items() if head.type in WRITERS
    }
    return {
        slots[start] + name.removeprefix(start): value
        for name, value in model.state_dict().items()
        for start in slots
        if name.startswith(start)
    }


def check(folder: Path, own: dict[str, Tensor], network: Network) -> None:
    """Read what was written. Raises: BundleError if it is not the same network with the same weights."""
    opened = open_folder(folder)
    again, family = network_of(opened), FAMILIES[network.family]
    weights = own_weights(family.weights(again), own, lambda name: opened.read(name, (family.prefix, "")), str(folder))
    missing = set(own) - set(weights)
    first = {weight.own: int(weight.form == "table") for weight in family.weights(again)}  # padding has no row there
    differ = [
        name for name, value in weights.items() if not torch.equal(value[first[name] :], own[name][first[name] :])
    ]
    if missing or differ:
        raise BundleError("What is exported must hold all weights", listed([*missing, *differ]), "Use --to onnx")


def special_ids(field: TokenField) -> dict[str, int]:
    """Ids of special tokens, as the tokenizer counts them."""
    found = {ROLES[role]: id - field.shift for role, id in field.special.items() if role in ROLES}
    return {f"{name}_token_id": found[name] for name in IDS if name in found}


def tokenizer_config(field: TokenField) -> dict[str, Any]:
    """How transformers opens the tokenizer."""
    token = Tokenizer.from_str(field.trained).id_to_token
    named = {f"{ROLES[role]}_token": token(id - field.shift) for role, id in field.special.items() if role in ROLES}
    template = {} if field.chat_template is None else {"chat_template": field.chat_template}
    return {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": field.max_tokens, **named, **template}
