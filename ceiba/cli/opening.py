"""Opening a bundle as something that answers, through the lightest runtime that can."""

from dataclasses import replace
from pathlib import Path

from ceiba.base.errors import BundleError
from ceiba.bundle import Bundle, open_bundle
from ceiba.cli import resolve
from ceiba.predict import Backend, Predictor

BACKENDS = {"onnx": "ceiba.predict:open_onnx", "torch": "ceiba.model:open_backend"}
"""Runtime → the function that opens a bundle's network in it, imported only when chosen."""


def open_model(folder: str | Path, files: str | None = None) -> Predictor:
    """A bundle (or the run folder that holds one) → its Predictor; `files`: where the files are that its rows name.

    Raises: BundleError if the bundle is damaged or unknown; MissingPackage if its runtime is not installed.
    """
    bundle = open_bundle(bundle_folder(folder))
    predictor = Predictor.from_bundle(bundle, _backend(bundle))
    if files is None:
        return predictor
    return replace(predictor, reading=predictor.reading.model_copy(update={"files": files}))


def _backend(bundle: Bundle) -> Backend:
    name = "onnx" if (bundle.folder / "model.onnx").is_file() else "torch"
    backend: Backend = resolve(BACKENDS[name])(bundle)
    return backend


def bundle_folder(folder: str | Path) -> Path:
    """The bundle that a path means: itself, or `bundle/` inside a run folder."""
    path = Path(folder)
    if not path.is_dir():
        raise BundleError(f"{path} must be a bundle or a run folder", "no such folder", "Check the name")
    return path / "bundle" if (path / "bundle").is_dir() else path
