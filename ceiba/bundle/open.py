"""Opening: verify first, read afterwards."""

import json
from pathlib import Path
from typing import Any

from ceiba.base.errors import BundleError
from ceiba.base.files import MANIFEST, verify_manifest
from ceiba.bundle.layout import FIELDS, FORMAT, META, OPENED_SINCE, RECIPE, REPORT, Bundle
from ceiba.bundle.sealed import SEALED, SealedFiles, open_sealed
from ceiba.bundle.signing import check_signature

RUN_BUNDLE = "bundle"
"""Where a run's folder keeps its bundle."""
META_KEYS: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "parents": list,
    "libraries": dict,
    "data_hash": str,
    "edits": list,
    "model": dict,
    "answers": dict,
}
MOST_JSON_BYTES = 256 << 20


def open_bundle(path: str | Path, trust: Path | None = None, unlock: str | None = None) -> Bundle:
    """Verify the bundle in a folder, or in the run that the folder holds, and read its small files.

    With `trust`, a file of public keys, it must be signed with one of them; an encrypted one needs `unlock`, which
    names where its key is, and is decrypted into memory alone.

    Raises: BundleError for anything missing, altered, extra, linked, unreadable, not signed or of a newer format.
    """
    folder = _folder(Path(path))
    if trust is not None:
        check_signature(folder, trust)
    verify_manifest(folder)
    return read_bundle(folder, open_sealed(folder, unlock) if (folder / SEALED).is_file() else None)


def read_bundle(folder: Path, sealed: SealedFiles | None = None) -> Bundle:
    """Read a bundle's small files; whoever calls this has verified the folder, or is still writing it."""
    meta = _mapping(folder, META, sealed)
    _check_format(folder, meta.get("format"), meta.get("opened_since"))
    for name, kind in META_KEYS.items():
        if not isinstance(meta.get(name), kind):
            raise BundleError(
                f"{folder / META} must have a '{name}'", repr(meta.get(name))[:40], "Use an undamaged copy"
            )
    has_report = (folder / REPORT).is_file() if sealed is None else REPORT in sealed.index
    report = _mapping(folder, REPORT, sealed) if has_report else None
    return Bundle(folder, meta, _mapping(folder, FIELDS, sealed), _text(folder, RECIPE, sealed), report, sealed)


def _folder(path: Path) -> Path:
    if not path.exists():
        raise BundleError(
            f"{path} must be the folder of a bundle or of a run", "nothing of that name", "Check the path"
        )
    if not path.is_dir():
        raise BundleError(f"{path} must be the folder of a bundle or of a run", "a file", "Name the folder")
    inner = path / RUN_BUNDLE
    return inner if not (path / MANIFEST).exists() and inner.is_dir() else path


def _text(folder: Path, name: str, sealed: SealedFiles | None) -> str:
    path = folder / name
    if not (path.is_file() if sealed is None else name in sealed.index):
        raise BundleError(f"{folder} must hold {name}", "no such file", "Name a folder that Ceiba wrote")
    size = path.stat().st_size if sealed is None else int(sealed.index[name]["size"])
    if size > MOST_JSON_BYTES:
        raise BundleError(f"{path} must have at most {MOST_JSON_BYTES} bytes", size, "Use an undamaged copy")
    try:
        return (path.read_bytes() if sealed is None else sealed.read(name)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} must be UTF-8 text", "other bytes", "Use an undamaged copy") from error


def _mapping(folder: Path, name: str, sealed: SealedFiles | None) -> dict[str, Any]:
    try:
        value = json.loads(_text(folder, name, sealed))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{folder / name} must be JSON", "something else", "Use an undamaged copy") from error
    if not isinstance(value, dict):
        raise BundleError(f"{folder / name} must be a JSON object", type(value).__name__, "Use an undamaged copy")
    return value


def _check_format(folder: Path, found: object, opened_since: object) -> None:
    if isinstance(found, int) and found in OPENED_SINCE:
        return
    if isinstance(found, int) and found > FORMAT:
        enough = opened_since if isinstance(opened_since, str) else "the newest version"
        raise BundleError(
            f"{folder} has a newer format than this Ceiba opens ({FORMAT})",
            found,
            f"Run: pip install 'ceiba>={enough}'",
        )
    raise BundleError(f"{folder / META} must name a known format", repr(found)[:40], "Use an undamaged copy")
