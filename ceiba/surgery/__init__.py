"""Surgery: edits of a built model, listed in its bundle and done again when that is opened.
Takes       a module, and the edit as plain values.   Gives   the module, edited in place.
May touch   layers, base.                             Never   files, data, losses, recipes, training.
To add one  write surgery/<name>.py with `edit(module, values) -> module`, add one line to EDITS below."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from ceiba.base.errors import BundleError, listed
from ceiba.surgery.lora import LoraLinear as LoraLinear
from ceiba.surgery.lora import LoraOptions as LoraOptions
from ceiba.surgery.lora import add_lora as add_lora
from ceiba.surgery.lora import edit_lora, lora_layers, merge_lora
from ceiba.surgery.stored import widened

EDITS: dict[str, Callable[[nn.Module, Mapping[str, Any]], nn.Module]] = {"lora": edit_lora}
"""The `type` of an edit → what does it."""

__all__ = [
    "EDITS",
    "LoraLinear",
    "LoraOptions",
    "add_lora",
    "apply_edits",
    "lora_layers",
    "merge_lora",
    "widened",
]


def apply_edits(module: nn.Module, edits: Sequence[Mapping[str, Any]]) -> nn.Module:
    """A bundle's edits, in order, on its freshly built model.

    Raises: BundleError for an edit that this version does not know.
    """
    for edit in edits:
        if edit.get("type") not in EDITS:
            raise BundleError("An edit of a bundle must be known", edit.get("type"), f"Known: {listed(EDITS)}")
        module = EDITS[edit["type"]](module, edit)
    return module
