"""Families: networks as Hugging Face keeps them ↔ Ceiba's own layers.
Takes       a folder (config.json, safetensors), or own weights.   Gives   what to build, weights by own name; or files.
May touch   layers, base.                                          Never   data, fields, recipes, foreign code.
To add one  write families/<name>.py with a Family, add one line to FAMILIES below."""

from ceiba.base.errors import RecipeError, listed
from ceiba.families.bert import BERT, DISTILBERT, ROBERTA
from ceiba.families.family import Family, Network
from ceiba.families.folder import Folder, open_folder
from ceiba.families.foreign import foreign_encoder, foreign_network_weights, image_options
from ceiba.families.gpt2 import GPT2
from ceiba.families.llama import LLAMA, MISTRAL, QWEN2, QWEN3
from ceiba.families.peft import Adapter, adapter_files, read_adapter
from ceiba.families.weights import foreign_weights, own_weights
from ceiba.layers import FOREIGN

FAMILIES: dict[str, Family] = {one.name: one for one in (BERT, ROBERTA, DISTILBERT, GPT2, LLAMA, MISTRAL, QWEN2, QWEN3)}
"""`model_type` of a config.json → the family."""


def network_of(folder: Folder) -> Network:
    """What a folder's config.json describes.

    Raises: RecipeError for a family that has no map, or a variant that Ceiba's layers do not have.
    """
    kind = folder.config.get("model_type")
    if kind not in FAMILIES:
        raise RecipeError(
            f"{folder.path / 'config.json'} must name a family that Ceiba's layers have", kind,
            f"Known: {listed([*FAMILIES, *FOREIGN])}",
        )  # fmt: skip
    try:
        return FAMILIES[kind].read(folder.config)
    except KeyError as error:
        raise RecipeError(
            f"{folder.path / 'config.json'} must have '{error.args[0]}'", None, "Download it again"
        ) from error


__all__ = [
    "FAMILIES",
    "Adapter",
    "Family",
    "Folder",
    "Network",
    "adapter_files",
    "foreign_encoder",
    "foreign_network_weights",
    "foreign_weights",
    "image_options",
    "network_of",
    "open_folder",
    "own_weights",
    "read_adapter",
]
