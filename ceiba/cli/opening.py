"""Opening a bundle as something that answers, through the lightest runtime that can."""

from dataclasses import replace
from pathlib import Path

from ceiba.base.errors import BundleError, MissingPackage
from ceiba.bundle import Bundle, open_bundle
from ceiba.cli import resolve
from ceiba.predict import Backend, Predictor

BACKENDS = {"onnx": "ceiba.predict:open_onnx", "torch": "ceiba.model:open_backend"}
"""Runtime → the function that opens a bundle's network in it, imported only when chosen."""


def open_model(
    folder: str | Path, files: str | None = None, trust: str | Path | None = None, unlock: str | None = None
) -> Predictor:
    """A bundle (or the run folder that holds one) → its Predictor; `files`: where the files are that its rows name.

    `trust` is a file of keys, one of which must have signed it; `unlock` names the key of an encrypted one.

    Raises: BundleError if the bundle is damaged or unknown; MissingPackage if its runtime is not installed.
    """
    _, predictor, _ = open_served(bundle_folder(folder), 0, None if trust is None else Path(trust), unlock)
    if files is None:
        return predictor
    return replace(predictor, reading=predictor.reading.model_copy(update={"files": files}))


def open_served(
    folder: Path, threads: int, trust: Path | None = None, unlock: str | None = None
) -> tuple[Bundle, Predictor, None]:
    """A bundle and its Predictor, whose exported model computes a batch in `threads` (0 = one a core).

    Raises: as `open_model` does.
    """
    bundle = open_bundle(folder, trust, unlock)
    if bundle.has_onnx:
        backend: Backend = resolve(BACKENDS["onnx"])(bundle, threads)
    else:
        backend = _torch_backend(bundle)
    return bundle, Predictor.from_bundle(bundle, backend), None


def _torch_backend(bundle: Bundle) -> Backend:
    try:
        backend: Backend = resolve(BACKENDS["torch"])(bundle)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPackage(
            f"{bundle.folder} holds no exported model, and torch is not installed",
            None,
            f"Run where it is: ceiba export {bundle.folder} --to onnx",
        ) from error
    return backend


def bundle_folder(folder: str | Path) -> Path:
    """The bundle that a path means: itself, or `bundle/` inside a run folder."""
    path = Path(folder)
    if not path.is_dir():
        raise BundleError(f"{path} must be a bundle or a run folder", "no such folder", "Check the name")
    return path / "bundle" if (path / "bundle").is_dir() else path
