"""Export: a bundle → files that others run, accepted only where they answer as the original does.
Takes       a Bundle.                         Gives   a new Bundle with model.onnx, or a folder for another runtime.
May touch   model, surgery, families, predict, read, fields, bundle, base, onnx, onnxruntime.
Never       training, metrics, the bundle it was given.
To add one  write export/<target>.py with `(bundle, out) -> figures`, add one line to TARGETS in cli/export.py."""

from ceiba.export.bundle import export_onnx
from ceiba.export.foreign import import_onnx
from ceiba.export.gguf import export_gguf
from ceiba.export.graph import onnx_bytes
from ceiba.export.huggingface import export_huggingface
from ceiba.export.parity import check_parity, parity_report
from ceiba.export.peft import export_peft
from ceiba.export.probes import Probe, probes, random_parts
from ceiba.export.torch import export_torch

__all__ = [
    "Probe",
    "check_parity",
    "export_gguf",
    "export_huggingface",
    "export_onnx",
    "export_peft",
    "export_torch",
    "import_onnx",
    "onnx_bytes",
    "parity_report",
    "probes",
    "random_parts",
]
