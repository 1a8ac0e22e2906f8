"""Opening a bundle as something that answers, through the lightest runtime that can."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ceiba.base.errors import BundleError, InputError, MissingPackage
from ceiba.bundle import Bundle, open_bundle
from ceiba.cli import resolve
from ceiba.predict import Backend, Predictor

WRITERS = ("next_token", "preference")
"""Heads of models that write."""
BACKENDS = {"onnx": "ceiba.predict:open_onnx", "torch": "ceiba.model:open_backend"}
"""Runtime → the function that opens a bundle's network in it, imported only when chosen."""


def open_model(
    folder: str | Path, files: str | None = None, trust: str | Path | None = None, unlock: str | None = None
) -> Predictor:
    """A bundle (or the run folder that holds one) → its Predictor; `files`: where the files are that its rows name.

    `trust` is a file of keys, one of which must have signed it; `unlock` names the key of an encrypted one.

    Raises: BundleError if the bundle is damaged or unknown; MissingPackage if its runtime is not installed.
    """
    bundle = open_bundle(bundle_folder(folder), None if trust is None else Path(trust), unlock)
    predictor = Predictor.from_bundle(bundle, _backend(bundle, 0))
    if writes(bundle):
        predictor = replace(WritingPredictor.from_bundle(bundle, predictor.backend), bundle=bundle)
    if files is None:
        return predictor
    return replace(predictor, reading=predictor.reading.model_copy(update={"files": files}))


def open_served(
    folder: Path, threads: int, trust: Path | None = None, unlock: str | None = None, device: str = "cpu"
) -> tuple[Bundle, Predictor, Any]:
    """A bundle, its Predictor, whose exported model computes a batch in `threads` (0 = one a core) or on a device, and,
    for a language model, the engine that writes.

    Raises: as `open_model` does; InputError for a device where there is no exported model.
    """
    bundle = open_bundle(folder, trust, unlock)
    if device != "cpu" and not bundle.has_onnx:
        raise InputError(f"--device {device} is for exported models", f"{folder}, which is none",
                         f"Run: ceiba export {folder} --to onnx")  # fmt: skip
    writer = resolve("ceiba.generate:open_generator")(bundle).engine() if writes(bundle) else None
    return bundle, Predictor.from_bundle(bundle, _backend(bundle, threads, device)), writer


def _backend(bundle: Bundle, threads: int, device: str = "cpu") -> Backend:
    if bundle.has_onnx:
        backend: Backend = resolve(BACKENDS["onnx"])(bundle, threads, device)
        return backend
    return _torch_backend(bundle)


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


@dataclass(frozen=True)
class WritingPredictor(Predictor):
    """The Predictor of a language model, which also writes."""

    bundle: Bundle | None = None

    @cached_property
    def generator(self) -> Any:
        """What writes, its weights in the form that is measured to be fastest."""
        return resolve("ceiba.generate:open_generator")(self.bundle)

    def generate(self, prompt: str | Sequence[str], **options: Any) -> Any:
        """Continue a prompt or several; the options are those of `GenerateOptions`.

        Raises: InputError for a prompt or options that are wrong.
        """
        return self.generator.generate(prompt, **options)


def writes(bundle: Bundle) -> bool:
    """Whether a bundle holds a language model that can go on from what it read."""
    if bundle.has_onnx:
        return False
    heads: dict[str, Any] = bundle.model.get("spec", {}).get("heads", {})
    return any(head.get("type") in WRITERS for head in heads.values())


def bundle_folder(folder: str | Path) -> Path:
    """The bundle that a path means: itself, or `bundle/` inside a run folder."""
    path = Path(folder)
    if not path.is_dir():
        raise BundleError(f"{path} must be a bundle or a run folder", "no such folder", "Check the name")
    return path / "bundle" if (path / "bundle").is_dir() else path
