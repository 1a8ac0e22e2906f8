"""Opening a bundle as something that answers, through the lightest runtime that can."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
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
    folder: str | Path,
    files: str | None = None,
    trust: str | Path | None = None,
    unlock: str | None = None,
    adapters: Mapping[str, str | Path] | None = None,
) -> Predictor:
    """A bundle (or the run folder that holds one) → its Predictor; `files`: where the files are that its rows name.

    `trust` is a file of keys, one of which must have signed it; `unlock` names the key of an encrypted one. `adapters`
    are bundles that were adapted from this language model by LoRA, or folders of peft's, by the name that a text asks
    for.

    Raises: BundleError if the bundle is damaged or unknown, or an adapter is not of it; MissingPackage if its runtime
        is not installed.
    """
    keys = None if trust is None else Path(trust)
    bundle = open_bundle(bundle_folder(folder), keys, unlock)
    read = adapter_reader(bundle, adapters or {}, keys)
    predictor = Predictor.from_bundle(bundle, _backend(bundle, 0))
    if writes(bundle):
        writing = replace(WritingPredictor.from_bundle(bundle, predictor.backend), bundle=bundle, read=read)
        _ = None if read is None else writing.generator  # a wrong adapter is told now
        predictor = writing
    if files is None:
        return predictor
    return replace(predictor, reading=predictor.reading.model_copy(update={"files": files}))


def open_served(
    folder: Path,
    threads: int,
    adapters: Mapping[str, Path],
    trust: Path | None = None,
    unlock: str | None = None,
    device: str = "cpu",
) -> tuple[Bundle, Predictor, Any]:
    """A bundle, its Predictor, whose exported model computes a batch in `threads` (0 = one a core) or on a device, and,
    for a language model, the engine that writes, with the adapters beside it.

    Raises: as `open_model` does; InputError for a device where there is no exported model.
    """
    bundle = open_bundle(folder, trust, unlock)
    if device != "cpu" and not bundle.has_onnx:
        raise InputError(f"--device {device} is for exported models", f"{folder}, which is none",
                         f"Run: ceiba export {folder} --to onnx")  # fmt: skip
    read = adapter_reader(bundle, adapters, trust)
    writer = resolve("ceiba.generate:open_generator")(bundle, adapters=read).engine() if writes(bundle) else None
    return bundle, Predictor.from_bundle(bundle, _backend(bundle, threads, device)), writer


def adapter_reader(bundle: Bundle, adapters: Mapping[str, str | Path], trust: Path | None = None) -> Any:
    """What reads the adapters of a language model once it is opened; None where there are none.

    Raises: BundleError for adapters of what is no language model.
    """
    if not adapters:
        return None
    if not writes(bundle):
        raise BundleError(f"{bundle.folder} must be a language model to have adapters", None, "Name theirs")
    return partial(resolve("ceiba.adapt:read_adapters"), dict(adapters), bundle, trust)


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
    read: Any = field(default=None, repr=False)
    """What reads the adapters beside it."""

    @cached_property
    def generator(self) -> Any:
        """What writes, its weights in the form that is measured to be fastest."""
        return resolve("ceiba.generate:open_generator")(self.bundle, adapters=self.read)

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
