"""Sealing: a bundle → a signed copy of it, an encrypted one, or both.

An encrypted bundle is a folder of files without telling names, an encrypted index of them, and a manifest of what lies
there, so that damage is found without the key, and a signature covers the encrypted bytes.
"""

import hashlib
import hmac
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ceiba.base.errors import BundleError, InputError
from ceiba.base.files import MANIFEST, files_below, write_bytes, write_folder, write_manifest
from ceiba.bundle.signing import SIGNATURE, read_signer, signature
from ceiba.bundle.stream import KEY_BYTES, decrypted, encrypted

SEALED, INDEX = "SEALED", "index.bin"
SEAL_FORMAT = 1
COMMAND_S = 60
OTHER = "Use an undamaged copy"


@dataclass(frozen=True)
class SealedFiles:
    """The files of an encrypted bundle, each decrypted into memory when it is asked for."""

    folder: Path
    id: str
    master: bytes
    index: dict[str, dict[str, Any]]

    def read(self, name: str) -> bytes:
        """One file's bytes.

        Raises: BundleError if it is not the one that was sealed under that name.
        """
        entry = self.index[name]
        data = decrypted((self.folder / entry["file"]).read_bytes(), self.master, _label(self.id, name))
        if len(data) != entry["size"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise BundleError(f"{self.folder} must hold the files of its index", f"another {name}", OTHER)
        return data


def _label(id: str, name: str) -> bytes:
    return f"{id}\0{name}".encode()


def make_key(path: Path) -> None:
    """Make a key to encrypt with, in a file for its owner alone.

    Raises: InputError if the file exists.
    """
    if path.exists():
        raise InputError(f"{path} must not exist", "a file of that name", "Name another: keys are not replaced")
    write_bytes(path, os.urandom(KEY_BYTES).hex().encode() + b"\n")
    path.chmod(0o600)


def read_key(source: str) -> bytes:
    """The key that a source names: `FILE`, `env:NAME` or `command:WORDS`; it is 64 hexadecimal digits there.

    Raises: InputError for a source that gives no such key; what it gave is not repeated.
    """
    kind, _, rest = source.partition(":")
    try:
        if kind == "env":
            text = os.environ[rest]
        elif kind == "command":
            done = subprocess.run(shlex.split(rest), capture_output=True, timeout=COMMAND_S, check=True)
            text = done.stdout.decode("ascii")
        else:
            text = Path(source).read_text(encoding="ascii")
        key = bytes.fromhex(text.strip())
    except (KeyError, OSError, ValueError, subprocess.SubprocessError) as error:
        shown = source if kind != "command" else "command:..."
        raise InputError(
            f"{shown} must give a key of {2 * KEY_BYTES} hexadecimal digits", type(error).__name__, HOW
        ) from error
    if len(key) != KEY_BYTES:
        raise InputError(f"{source} must give a key of {2 * KEY_BYTES} hexadecimal digits", f"{2 * len(key)}", HOW)
    return key


HOW = "Make one: ceiba seal --new-key FILE"


def _mark(master: bytes, id: str) -> str:
    """What tells one key from another without telling the key."""
    return hmac.new(master, b"ceiba key mark\0" + id.encode(), "sha256").hexdigest()[:16]


def seal(folder: Path, out: Path, signer: Path | None = None, key: str | None = None) -> Path:
    """A sealed copy of a verified bundle's folder.

    Raises: InputError for keys that are none, or a target that exists.
    """
    private = None if signer is None else read_signer(signer)
    master = None if key is None else read_key(key)
    names = [
        path.relative_to(folder).as_posix() for path in files_below(folder) if path.name not in (MANIFEST, SIGNATURE)
    ]
    with write_folder(out, manifest=False) as target:
        if master is None:
            for name in names:
                write_bytes(target / name, (folder / name).read_bytes())
        else:
            _encrypt(names, lambda name: (folder / name).read_bytes(), target, master)
        write_manifest(target)
        if private is not None:
            write_bytes(target / SIGNATURE, signature(private, (target / MANIFEST).read_bytes()))
    return out


def _encrypt(names: Iterable[str], read: Callable[[str], bytes], target: Path, master: bytes) -> None:
    id, index = os.urandom(16).hex(), {}
    for number, name in enumerate(names):
        data, file = read(name), f"{number:05d}.bin"
        write_bytes(target / file, b"".join(encrypted(data, master, _label(id, name))))
        index[name] = {"file": file, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_bytes(target / INDEX, b"".join(encrypted(json.dumps(index).encode(), master, _label(id, ""))))
    head = {"format": SEAL_FORMAT, "id": id, "cipher": "AES-256-GCM, STREAM", "key": _mark(master, id)}
    write_bytes(target / SEALED, (json.dumps(head) + "\n").encode())


def open_sealed(folder: Path, key: str | None) -> SealedFiles:
    """The files of an encrypted bundle whose manifest was verified.

    Raises: BundleError without the key, for another key, and for an index that was altered.
    """
    try:
        head = json.loads((folder / SEALED).read_bytes())
        id, mark, version = str(head["id"]), str(head["key"]), head["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{folder / SEALED} must describe a sealed bundle", "something else", OTHER) from error
    if version != SEAL_FORMAT:
        raise BundleError(
            f"{folder} must be sealed in a way that this Ceiba knows", repr(version)[:40], "Upgrade Ceiba"
        )
    if key is None:
        raise BundleError(
            f"{folder} is encrypted and needs its key", None, "Name it: --unlock FILE, env:NAME or command:WORDS"
        )
    master = read_key(key)
    if not hmac.compare_digest(mark, _mark(master, id)):
        raise BundleError(
            f"{folder} must be opened with the key that it was sealed with", "another key", "Name that key"
        )
    index: dict[str, dict[str, Any]] = json.loads(decrypted((folder / INDEX).read_bytes(), master, _label(id, "")))
    there = {path.relative_to(folder).as_posix() for path in files_below(folder)} - {MANIFEST, SIGNATURE, SEALED, INDEX}
    if there != {str(entry["file"]) for entry in index.values()}:
        raise BundleError(f"{folder} must hold the files of its index", "others", OTHER)
    return SealedFiles(folder, id, master, index)


def unseal(files: SealedFiles, out: Path) -> Path:
    """The plain bundle, written anew.

    Raises: BundleError for anything altered; then nothing is left at `out`.
    """
    with write_folder(out) as target:
        for name in files.index:
            parts = name.split("/")
            if any(part in ("", ".", "..") for part in parts):
                raise BundleError("a file of a bundle must have a plain relative name", repr(name), OTHER)
            write_bytes(target.joinpath(*parts), files.read(name))
    return out
