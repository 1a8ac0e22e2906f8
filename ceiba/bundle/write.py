"""Writing: everything goes into a temporary sibling, which is sealed and renamed when it is whole."""

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ceiba.base.errors import BundleError
from ceiba.base.files import MANIFEST, files_below, write_bytes, write_folder, write_json
from ceiba.bundle.layout import (
    CARD,
    FIELD_FILES,
    FIELDS,
    FORMAT,
    META,
    OPENED_SINCE,
    RECIPE,
    REPORT,
    REPORT_HTML,
    WEIGHTS,
    Bundle,
    file_name,
)
from ceiba.bundle.open import read_bundle
from ceiba.bundle.weights import is_weights, weight_files

LIBRARIES = ("ceiba", "numpy", "onnxruntime", "pyarrow", "tokenizers", "torch")
"""Packages whose versions can change what a model answers."""

Extra = Mapping[str, bytes] | Callable[[Bundle], Mapping[str, bytes]]


def write_bundle(
    target: Path,
    *,
    kind: str,
    model: Mapping[str, Any],
    answers: Mapping[str, Any],
    fields_json: Mapping[str, Any],
    field_files: Mapping[str, bytes],
    recipe_yaml: str,
    weights: bytes | None,
    report: Mapping[str, Any] | None = None,
    report_html: str | None = None,
    card: str | None = None,
    parents: Sequence[Bundle] = (),
    edits: Sequence[Mapping[str, Any]] = (),
    data_hash: str = "",
    meta: Mapping[str, Any] | None = None,
    extra: Extra | None = None,
) -> Path:
    """Write a bundle, all or nothing.

    `extra` names more files, or is called with the readable but not yet sealed bundle and returns them, so that a
    report can be made with the very bytes that will be sealed.

    Raises: InputError if the target exists, BundleError if an extra file would replace one of the bundle or leave it.
    """
    own = {
        "format": FORMAT,
        "opened_since": OPENED_SINCE[FORMAT],
        "kind": kind,
        "parents": [*_ancestors(parents)],
        "libraries": library_versions(),
        "data_hash": data_hash,
        "edits": [dict(edit) for edit in edits],
        "model": dict(model),
        "answers": dict(answers),
    }
    if clash := sorted(set(meta or {}) & set(own)):
        raise BundleError("meta must not replace what the bundle itself states", clash[0], "Name it otherwise")
    with write_folder(Path(target)) as folder:
        write_json(folder / META, own | dict(meta or {}))
        write_json(folder / FIELDS, dict(fields_json))
        write_bytes(folder / RECIPE, recipe_yaml.encode())
        for name, data in field_files.items():
            write_bytes(folder / FIELD_FILES / file_name(name), data)
        if weights is not None:
            _write(folder, WEIGHTS, weights)
        if report is not None:
            write_json(folder / REPORT, dict(report))
        for name, text in ((REPORT_HTML, report_html), (CARD, card)):
            if text is not None:
                write_bytes(folder / name, text.encode())
        _write_extra(folder, extra)
    return Path(target)


def derive_bundle(
    parent: Bundle,
    target: Path,
    files: Mapping[str, bytes],
    meta: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> Path:
    """A new bundle like its parent, with some files added, replaced or left out and some of its statements changed.

    Raises: InputError if the target exists, BundleError if a file would leave the bundle.
    """
    if parent.sealed is not None:
        raise BundleError(f"{parent.folder} must not be encrypted", None, "Run: ceiba unseal")
    names = {path.relative_to(parent.folder).as_posix(): path for path in files_below(parent.folder)}
    with write_folder(Path(target)) as folder:
        gone = {*files, *without}
        gone |= {name for name in names if WEIGHTS in gone and is_weights(name)}
        for name, path in names.items():
            if name not in (MANIFEST, MANIFEST + ".sig", META) and name not in gone:
                write_bytes(folder / name, path.read_bytes())
        stated = parent.meta | {"libraries": library_versions(), "parents": _ancestors([parent])}
        write_json(folder / META, stated | dict(meta or {}))
        for name, data in files.items():
            _write(folder, name, data)
    return Path(target)


def _write(folder: Path, name: str, data: bytes) -> None:
    """One file, or the several that large weights become."""
    for part, content in weight_files(data) if name == WEIGHTS else ((name, data),):
        write_bytes(_inside(folder, part), content)


def library_versions() -> dict[str, str]:
    """The installed versions of what can change an answer; nothing is imported for it."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _ancestors(parents: Sequence[Bundle]) -> list[dict[str, Any]]:
    return [
        entry for parent in parents for entry in (*parent.parents, {"identity": parent.identity, "kind": parent.kind})
    ]


def _write_extra(folder: Path, extra: Extra | None) -> None:
    files = extra(read_bundle(folder)) if callable(extra) else (extra or {})
    for name, data in files.items():
        path = _inside(folder, name)
        if path.exists():
            raise BundleError("An extra file must not replace one of the bundle", name, "Name it otherwise")
        write_bytes(path, data)


def _inside(folder: Path, name: str) -> Path:
    parts = name.split("/")
    if "\\" in name or any(part in ("", ".", "..") for part in parts) or name == MANIFEST:
        raise BundleError("A file of a bundle must have a plain relative name", repr(name), "Name it otherwise")
    return folder.joinpath(*parts)
