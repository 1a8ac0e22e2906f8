"""The rows that an exported model was accepted with: kept beside it, and run again in brief whenever it is opened."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import BundleError
from ceiba.bundle import PARITY, Bundle

Array = NDArray[Any]
KINDS = "biuf"
"""Kinds of numbers that a kept array may hold."""
MASKED = -1e4
"""What a network answers where there is nothing to answer, as for a word that is padding."""
LEAST_SCALE = 1e-6
"""Below the size of every output that says anything."""


def relative_error(found: Array, expected: Array) -> float:
    """max |found - expected| / max(|expected|, root mean square of expected): no value near zero decides alone.

    What is masked in both is left out: beside it the rest would seem small.
    Endless where the shapes differ or one of the two is not a number where the other is.
    """
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    wide, truth = found.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    told = (wide != MASKED) | (truth != MASKED)
    wide, truth = wide[told], truth[told]
    known = np.isfinite(truth)
    if not np.array_equal(wide[~known], truth[~known], equal_nan=True) or not np.isfinite(wide[known]).all():
        return float("inf")
    wide, truth = wide[known], truth[known]
    scale = max(float(np.sqrt(np.mean(truth**2))) if truth.size else 0.0, LEAST_SCALE)
    return float((np.abs(wide - truth) / np.maximum(np.abs(truth), scale)).max(initial=0.0))


def pack(array: Array) -> dict[str, Any]:
    """An array as JSON, every bit kept."""
    whole = np.ascontiguousarray(array)
    return {"dtype": whole.dtype.str, "shape": list(whole.shape), "base64": base64.b64encode(whole.tobytes()).decode()}


def unpack(value: Mapping[str, Any]) -> Array:
    """The array that `pack` wrote.

    Raises: ValueError, KeyError or TypeError for anything else.
    """
    kind = np.dtype(str(value["dtype"]))
    if kind.kind not in KINDS:
        raise ValueError(f"arrays hold numbers, not {kind}")
    return np.frombuffer(base64.b64decode(value["base64"], validate=True), kind).reshape(value["shape"])


def kept_rows(inputs: Mapping[str, Array], outputs: Mapping[str, Array], tolerance: float) -> dict[str, Any]:
    """What `recheck` reads: some rows as the fields encode them, and what the model answers."""
    return {
        "tolerance": tolerance,
        "inputs": {name: pack(part) for name, part in inputs.items()},
        "outputs": {name: pack(logits) for name, logits in outputs.items()},
    }


def recheck(bundle: Bundle, backend: Callable[[dict[str, Array]], Mapping[str, Array]]) -> None:
    """Run the kept rows of a bundle, if it has any, and compare.

    Raises: BundleError if this runtime on this machine does not answer as the original did.
    """
    is_there = (bundle.folder / PARITY).is_file() if bundle.sealed is None else PARITY in bundle.sealed.index
    if not is_there:
        return
    try:
        kept = json.loads(bundle.read(PARITY))["kept"]
        tolerance = float(kept["tolerance"])
        inputs, outputs = ({name: unpack(one) for name, one in kept[side].items()} for side in ("inputs", "outputs"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__} {error}"
        raise BundleError(f"{bundle.folder / PARITY} must hold kept rows", problem, "Export it again") from error
    found = backend(inputs)
    for name, expected in outputs.items():
        error_ = relative_error(np.asarray(found[name]), expected) if name in found else float("inf")
        if not error_ <= tolerance:
            raise BundleError(
                f"{bundle.folder} must answer on this machine as it did when it was exported, within {tolerance:g}",
                f"a relative error of {error_:.2g} in '{name}'",
                "Export it again here, with the versions that are installed",
            )
