"""The gate: the original and the exported model side by side at many sizes; nothing is written where they differ."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import CeibaError
from ceiba.export.probes import Probe
from ceiba.predict import Backend, kept_rows, relative_error

TOLERANCE = 1e-4
"""Largest relative error of any output, in 32-bit floats."""
AGAIN = 10.0
"""How many times that is allowed when a bundle is opened: another processor rounds otherwise."""
KEPT_ROWS = 3
MOST_KEPT_BYTES = 1 << 18
"""Rows that are kept take at most about this much."""

Array = NDArray[Any]


def check_parity(
    original: Backend, exported: Backend, tried: Iterable[Probe], tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """The report of the gate: every probe with its error by output; the first probes are kept to be run again.

    A size that the original itself refuses (a text longer than its positions) is told and not compared.

    Raises: CeibaError naming the probe and the output where the two differ by more than the tolerance.
    """
    cases: list[dict[str, Any]] = []
    kept: dict[str, Any] | None = None
    for probe in tried:
        about = {"kind": probe.kind, "rows": probe.rows, "tokens": probe.tokens, "padding": probe.padding}
        try:
            expected = original(probe.parts)
        except (IndexError, CeibaError) as error:
            cases.append(about | {"refused": str(error).splitlines()[0][:120]})
            continue
        errors = compare(probe, expected, exported, tolerance)
        cases.append(about | {"errors": errors})
        if kept is None and probe.rows > 1:
            kept = kept_rows(*first_rows(probe.parts, expected), tolerance * AGAIN)
    if kept is None:
        raise CeibaError("An exported model must be held against the original", "no rows that both can run", None)
    outputs = next(case["errors"] for case in cases if "errors" in case)
    worst = {name: max(case["errors"][name] for case in cases if "errors" in case) for name in outputs}
    return {"tolerance": tolerance, "worst": worst, "cases": cases, "kept": kept}


def compare(probe: Probe, expected: Mapping[str, Array], exported: Backend, tolerance: float) -> dict[str, float]:
    """The relative error of each output.

    Raises: CeibaError if the exported model fails, or an error is above the tolerance.
    """
    try:
        found = exported(probe.parts)
    except Exception as error:  # the runtime's own, which have no common base
        problem = f"{str(error).strip().splitlines()[0][:160]} with {probe}"
        raise CeibaError("The exported model must run what the original runs", problem, ADVICE) from error
    errors = {
        name: relative_error(np.asarray(found.get(name, ())), np.asarray(value)) for name, value in expected.items()
    }
    for name, error_ in errors.items():
        if not error_ <= tolerance:
            raise CeibaError(
                f"The exported model must answer as the original does, within {tolerance:g}",
                f"a relative error of {error_:.2g} in '{name}' with {probe}",
                ADVICE,
            )
    return errors


ADVICE = "Nothing was written; serve the bundle through torch, or use another encoder"


def first_rows(parts: Mapping[str, Array], outputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """A few rows of a probe, fewer where they are large."""
    row_bytes = sum(part[:1].nbytes for part in parts.values())
    count = int(np.clip(MOST_KEPT_BYTES // max(row_bytes, 1), 1, KEPT_ROWS))
    return {name: part[:count] for name, part in parts.items()}, {
        name: np.asarray(logits)[:count] for name, logits in outputs.items()
    }


def parity_report(found: Mapping[str, Any], real_rows: int, against: str) -> dict[str, Any]:
    """parity.json: what was compared with what, in which versions."""
    names = ("torch", "onnx", "onnxruntime", "onnxscript", "numpy")
    return {
        "against": against,
        "real_rows": real_rows,
        "versions": {name: version(name) for name in names},
        **found,
    }
