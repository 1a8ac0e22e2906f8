"""Export to ONNX: a new bundle that onnxruntime runs, with the proof that it answers as its parent does."""

import json
from pathlib import Path
from typing import Any

from ceiba.bundle import ONNX, PARITY, WEIGHTS, Bundle, derive_bundle
from ceiba.export.graph import onnx_bytes
from ceiba.export.parity import check_parity, parity_report
from ceiba.export.probes import encoded_rows, probes
from ceiba.model import TorchBackend, open_model
from ceiba.predict import OnnxBackend, Predictor


def export_onnx(bundle: Bundle, out: Path) -> dict[str, Any]:
    """Write a bundle with `model.onnx` and `parity.json` in place of the weights; the figures of the gate.

    Raises: CeibaError if the network cannot be exported or the export answers otherwise; InputError if `out` exists.
    """
    model = open_model(bundle)
    original = TorchBackend(model)
    predictor = Predictor.from_bundle(bundle, original)
    layouts = predictor.fields.layouts()
    exported = onnx_bytes(model, layouts)
    encoded = encoded_rows(bundle, predictor)
    found = check_parity(original, OnnxBackend(exported, threads=1), probes(layouts, encoded))
    real_rows = 0 if encoded is None else len(next(iter(encoded.values())))
    report = parity_report(found, real_rows, "the eager network in torch")
    files = {ONNX: exported, PARITY: json.dumps(report, allow_nan=False).encode()}
    derive_bundle(bundle, out, files, without=[WEIGHTS])
    return {"bundle": str(out), "worst": found["worst"], "cases": len(found["cases"]), "real_rows": real_rows,
            "bytes": len(exported)}  # fmt: skip
