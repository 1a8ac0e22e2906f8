"""Signatures: who vouches for a bundle, and whom one trusts.

A signature (Ed25519) stands beside the manifest and covers its bytes, and the manifest holds the size and the SHA-256
of every file. A trust file pins the public keys of those whose bundles are opened.
"""

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ceiba.base.errors import BundleError, InputError
from ceiba.base.files import MANIFEST, write_bytes
from ceiba.base.optional import require

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = MANIFEST + ".sig"
DOMAIN = b"ceiba manifest 1\0"
"""What is signed begins with this, so that a signature made for another purpose is none here."""
ID_DIGITS = 16
MOST_BYTES = 1 << 20
DO = "Get the bundle from whom you trust"


def _part(name: str) -> ModuleType:
    return require(f"cryptography.{name}", "seal", "sign a bundle or check a signature")


def _ed25519() -> ModuleType:
    return _part("hazmat.primitives.asymmetric.ed25519")


@dataclass(frozen=True)
class Signer:
    """One who is trusted."""

    id: str
    name: str
    public: bytes
    expires: float | None = None
    """Seconds since 1970; None for never."""


def key_id(public: bytes) -> str:
    """A public key's name: the first digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:ID_DIGITS]


def make_signer(path: Path, trust: Path, name: str, expires: float | None = None) -> Signer:
    """Make a key to sign with, in a file for its owner alone, and add its public half to a trust file.

    Raises: InputError if the file exists.
    """
    if path.exists():
        raise InputError(f"{path} must not exist", "a file of that name", "Name another: keys are not replaced")
    forms = _part("hazmat.primitives.serialization")
    key = _ed25519().Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    signer = Signer(key_id(public), name, public, expires)
    known = read_trust(trust) if trust.exists() else {}
    write_bytes(path, key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()))
    path.chmod(0o600)
    entries = [
        {"id": one.id, "name": one.name, "public": base64.b64encode(one.public).decode(), "expires": one.expires}
        for one in [*known.values(), signer]
    ]
    write_bytes(trust, (json.dumps(entries, indent=1) + "\n").encode())
    return signer


def read_signer(path: Path) -> "Ed25519PrivateKey":
    """The key of a file.

    Raises: InputError for a file that holds none.
    """
    forms = _part("hazmat.primitives.serialization")
    try:
        key = forms.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} must be a signing key in PEM", "something else", "Run: ceiba seal --new-signer FILE"
        ) from error
    if not isinstance(key, _ed25519().Ed25519PrivateKey):
        raise InputError(f"{path} must be an Ed25519 key", "another kind", "Run: ceiba seal --new-signer FILE")
    signer: Ed25519PrivateKey = key
    return signer


def read_trust(path: Path) -> dict[str, Signer]:
    """Whom a trust file trusts, by the id of the key.

    Raises: InputError for a file that is none.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        entries = json.loads(path.read_text(encoding="utf-8"))
        signers = [_signer(entry) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} must be a trust file as ceiba seal writes it", "something else", "Check the name"
        ) from error
    return {signer.id: signer for signer in signers}


def _signer(entry: dict[str, Any]) -> Signer:
    public = base64.b64decode(entry["public"], validate=True)
    if key_id(public) != entry["id"]:
        raise ValueError("the id is another key's")
    expires = entry["expires"]
    return Signer(str(entry["id"]), str(entry["name"]), public, None if expires is None else float(expires))


def signature(key: "Ed25519PrivateKey", manifest: bytes) -> bytes:
    """The bytes of a signature file."""
    public = key.public_key().public_bytes_raw()
    signed = base64.b64encode(key.sign(DOMAIN + manifest)).decode()
    return (json.dumps({"key": key_id(public), "signature": signed}) + "\n").encode()


def check_signature(folder: Path, trust: Path) -> Signer:
    """Who signed the manifest of a folder, one who is trusted now.

    Raises: BundleError without a signature, for an unknown or expired key, and for a manifest that was altered.
    """
    trusted, path, manifest = read_trust(trust), folder / SIGNATURE, folder / MANIFEST
    for name, one in (("signature", path), ("manifest", manifest)):
        if one.is_symlink() or not one.is_file():
            raise BundleError(f"{folder} must be signed", f"no {name}", DO)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        value = json.loads(path.read_bytes())
        id, signed = str(value["key"]), base64.b64decode(value["signature"], validate=True)
    except (ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{path} must be a signature", "something else", DO) from error
    signer = trusted.get(id)
    if signer is None:
        raise BundleError(f"{folder} must be signed by one who is trusted", f"the key '{id[:40]}'", DO)
    if signer.expires is not None and signer.expires <= time.time():
        raise BundleError(f"{folder} must be signed by a key that is valid", f"{signer.name}'s, which expired", DO)
    try:
        _ed25519().Ed25519PublicKey.from_public_bytes(signer.public).verify(signed, DOMAIN + manifest.read_bytes())
    except _part("exceptions").InvalidSignature as error:
        raise BundleError(f"{folder} must be as {signer.name} signed it", "an altered manifest", DO) from error
    return signer
