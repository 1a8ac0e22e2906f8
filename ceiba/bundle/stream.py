"""Files encrypted in segments: each is authentic by itself, and so is their order and their end.

    header    magic · salt (32 bytes) · nonce prefix (7 bytes)
    segment   AES-256-GCM of up to 64 KiB, its tag of 16 bytes behind it
    nonce     prefix · number of the segment (4 bytes) · 1 for the last segment, else 0

Each file has its own key, made from the master key, the salt and the name under which the file is sealed; so segments
can neither be moved, dropped nor taken from another file. Source: Hoang, Reyhanitabar, Rogaway and Vizár 2015, "Online
authenticated-encryption and its nonce-reuse misuse-resistance" (the STREAM construction), as Google's Tink has it.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ceiba.base.errors import BundleError
from ceiba.base.optional import require

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"CEIBA\x01ST"
KEY_BYTES, SALT_BYTES, PREFIX_BYTES, TAG_BYTES = 32, 32, 7, 16
SEGMENT_BYTES = 64 << 10
HEADER_BYTES = len(MAGIC) + SALT_BYTES + PREFIX_BYTES
MOST_SEGMENTS = 1 << 32


def _cipher(master: bytes, salt: bytes, name: bytes) -> "AESGCM":
    assert len(master) == KEY_BYTES
    aead, hashes, hkdf = (
        require(f"cryptography.hazmat.primitives.{part}", "seal", "encrypt or decrypt a bundle")
        for part in ("ciphers.aead", "hashes", "kdf.hkdf")
    )
    cipher: AESGCM = aead.AESGCM(hkdf.HKDF(hashes.SHA256(), KEY_BYTES, salt, b"ceiba stream 1\0" + name).derive(master))
    return cipher


def _nonce(prefix: bytes, number: int, is_last: bool) -> bytes:
    if number >= MOST_SEGMENTS:
        raise BundleError(f"a sealed file must have fewer than {MOST_SEGMENTS} segments", number, "Split the file")
    return prefix + number.to_bytes(4, "big") + bytes([is_last])


def encrypted(data: bytes, master: bytes, name: bytes) -> Iterator[bytes]:
    """The header and the segments of a file, sealed under a name."""
    salt, prefix = os.urandom(SALT_BYTES), os.urandom(PREFIX_BYTES)
    cipher = _cipher(master, salt, name)
    yield MAGIC + salt + prefix
    starts = range(0, max(len(data), 1), SEGMENT_BYTES)
    for number, start in enumerate(starts):
        nonce = _nonce(prefix, number, number == len(starts) - 1)
        yield cipher.encrypt(nonce, data[start : start + SEGMENT_BYTES], None)


def decrypted(sealed: bytes, master: bytes, name: bytes) -> bytes:
    """The file, whole; nothing of it is given unless all of it is authentic.

    Raises: BundleError for another key or name, and for anything altered, cut, moved or added.
    """
    damaged = BundleError("a sealed file must be as it was sealed, under this key", "another", "Use an undamaged copy")
    if len(sealed) < HEADER_BYTES + TAG_BYTES or not sealed.startswith(MAGIC):
        raise damaged
    salt = sealed[len(MAGIC) : len(MAGIC) + SALT_BYTES]
    prefix = sealed[len(MAGIC) + SALT_BYTES : HEADER_BYTES]
    cipher, parts = _cipher(master, salt, name), []
    invalid = require("cryptography.exceptions", "seal", "decrypt a bundle").InvalidTag
    starts = range(HEADER_BYTES, len(sealed), SEGMENT_BYTES + TAG_BYTES)
    for number, start in enumerate(starts):
        segment = sealed[start : start + SEGMENT_BYTES + TAG_BYTES]
        try:
            parts.append(cipher.decrypt(_nonce(prefix, number, number == len(starts) - 1), segment, None))
        except (invalid, ValueError) as error:
            raise damaged from error
    return b"".join(parts)
