"""An adapted bundle as a plain one."""

import json
from pathlib import Path

from ceiba.base.errors import BundleError
from ceiba.bundle import Bundle, derive_bundle
from ceiba.bundle.layout import WEIGHTS
from ceiba.model import open_model, save_weights
from ceiba.surgery import merge_lora


def merge(bundle: Bundle, target: Path) -> Path:
    """A new bundle whose layers hold what was learnt beside them: the same answers, no edits. The old one, which is its
    parent, still has both apart.

    Raises: BundleError if there is nothing to merge; InputError if the target exists.
    """
    kept = [edit for edit in bundle.edits if edit["type"] != "lora"]
    if kept == bundle.edits:
        raise BundleError(
            f"{bundle.folder} must have LoRA matrices to merge", json.dumps(bundle.edits), "Adapt it first"
        )
    model = open_model(bundle)
    merge_lora(model)
    return derive_bundle(bundle, target, {WEIGHTS: save_weights(model)}, {"edits": kept})
