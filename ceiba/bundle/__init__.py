"""Bundle: one folder, the only thing that crosses from training to everything after.
Takes       bytes and plain values.      Gives   a sealed folder, and a verified view of one.
May touch   base; sealing alone: cryptography.   Never   torch, what the bytes mean, a folder that is already sealed.
To add one  name a new file in layout.py; raise FORMAT there if old versions of Ceiba would misread the folder."""

from ceiba.bundle.layout import (
    CARD,
    FIELDS,
    FORMAT,
    META,
    ONNX,
    PARITY,
    RECIPE,
    REPORT,
    REPORT_HTML,
    ROWS,
    WEIGHTS,
    Bundle,
)
from ceiba.bundle.open import open_bundle
from ceiba.bundle.weights import files_of as weight_files_of
from ceiba.bundle.write import derive_bundle, write_bundle

__all__ = [
    "CARD",
    "FIELDS",
    "FORMAT",
    "META",
    "ONNX",
    "PARITY",
    "RECIPE",
    "REPORT",
    "REPORT_HTML",
    "ROWS",
    "WEIGHTS",
    "Bundle",
    "derive_bundle",
    "open_bundle",
    "weight_files_of",
    "write_bundle",
]
