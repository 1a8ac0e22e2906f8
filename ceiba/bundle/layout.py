"""Which file of a bundle holds what."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ceiba.base.errors import BundleError
from ceiba.base.files import MANIFEST, digest
from ceiba.bundle.sealed import SealedFiles

FORMAT = 1
OPENED_SINCE = {1: "0.1.0"}
"""Format version → the first version of Ceiba that opens it; written into each bundle for the day it is too new."""

META = "ceiba.json"
RECIPE = "recipe.yaml"
FIELDS = "fields.json"
FIELD_FILES = "fields"
WEIGHTS = "weights.safetensors"
WEIGHT_INDEX = f"{WEIGHTS}.index.json"
ONNX = "model.onnx"
PARITY = "parity.json"
"""How the exported model was held against the original, and rows to do it again."""
REPORT = "report.json"
REPORT_HTML = "report.html"
CARD = "card.md"
ROWS = "rows.parquet"
"""One figure of every row that was measured, to pair runs."""


def file_name(name: str) -> str:
    """A field file's name as one plain path element, whatever signs the name of the column holds."""
    return quote(name, safe=" ").replace(".", "%2E") if name.strip(".") == "" else quote(name, safe=" ")


def field_name(file: str) -> str:
    """The field file's name back from its path element."""
    return unquote(file)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: small things as values, large things as paths that are read when asked for."""

    folder: Path
    meta: dict[str, Any]
    fields_json: dict[str, Any]
    recipe_text: str
    report: dict[str, Any] | None = field(default=None, repr=False)
    sealed: SealedFiles | None = field(default=None, repr=False)
    """The files of an encrypted bundle; its folder then holds none that can be read as they are."""

    @property
    def kind(self) -> str:
        """What sort of model this is: "predictor" unless said otherwise."""
        return str(self.meta["kind"])

    @property
    def model(self) -> dict[str, Any]:
        """The model's spec as plain values."""
        return dict(self.meta["model"])

    @property
    def answers(self) -> dict[str, Any]:
        """Output name → its answer as plain values."""
        return dict(self.meta["answers"])

    @property
    def parents(self) -> list[dict[str, Any]]:
        """The bundles this one was made from, oldest first: {"identity", "kind"}."""
        return list(self.meta["parents"])

    @property
    def edits(self) -> list[dict[str, Any]]:
        """The edits of the model, to be applied in this order before the weights are loaded."""
        return list(self.meta["edits"])

    @property
    def identity(self) -> str:
        """A hash over every byte of the bundle."""
        return digest(self.folder / MANIFEST)

    @property
    def weights_path(self) -> Path:
        """The weights, or the index of their files where they are many.

        Raises: BundleError if this bundle has none (an export for serving alone).
        """
        name = WEIGHT_INDEX if (self.folder / WEIGHT_INDEX).is_file() else WEIGHTS
        return self._file(name, "Use the bundle it was exported from")

    @property
    def onnx(self) -> Path | bytes | None:
        """The exported model, in its file or, of an encrypted bundle, in memory; None without one."""
        if self.sealed is not None:
            return self.sealed.read(ONNX) if ONNX in self.sealed.index else None
        path = self.folder / ONNX
        return path if path.is_file() else None

    @property
    def has_onnx(self) -> bool:
        """Whether it holds an exported model."""
        return (self.folder / ONNX).is_file() if self.sealed is None else ONNX in self.sealed.index

    def field_files(self) -> dict[str, bytes]:
        """What the fields keep beside fields.json: tokenizers and vocabularies."""
        if self.sealed is not None:
            within = [name for name in self.sealed.index if name.startswith(FIELD_FILES + "/")]
            return {field_name(name.partition("/")[2]): self.sealed.read(name) for name in sorted(within)}
        folder = self.folder / FIELD_FILES
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        return {field_name(path.name): path.read_bytes() for path in paths}

    def read(self, name: str) -> bytes:
        """Any other file of the bundle.

        Raises: BundleError if the bundle has no file of that name.
        """
        if self.sealed is not None:
            return self.sealed.read(self._known(name))
        return self._file(name, "Make the bundle anew").read_bytes()

    def _known(self, name: str) -> str:
        if self.sealed is not None and name in self.sealed.index:
            return name
        raise BundleError(f"{self.folder} must hold {name}", "no such file", "Make the bundle anew")

    def _file(self, name: str, do: str) -> Path:
        if self.sealed is not None:
            raise BundleError(f"{self.folder} is encrypted", f"a wish for its {name}", "Run: ceiba unseal")
        path = self.folder / name
        if not path.is_file():
            raise BundleError(f"{self.folder} must hold {name}", "no such file", do)
        return path
