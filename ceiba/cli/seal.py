"""`ceiba seal` and `ceiba unseal`: bundles that are signed, encrypted, or both."""

import time
from pathlib import Path

from ceiba.base.errors import InputError
from ceiba.cli import resolve
from ceiba.cli.words import finish, words

DAY_S = 86_400


def main(arguments: list[str]) -> int:
    """Write a sealed copy of a bundle, or make the keys for it."""
    parser = words("seal", "Sign a bundle, encrypt it, or both, in a new folder; or make the keys for that.")
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="a bundle or the folder of a run")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the sealed copy goes")
    parser.add_argument("--sign", type=Path, metavar="FILE", help="sign with this key")
    parser.add_argument("--encrypt", metavar="KEY", help="encrypt with this key: FILE, env:NAME or command:WORDS")
    parser.add_argument("--new-signer", type=Path, metavar="FILE", help="make a key to sign with; needs --trust")
    parser.add_argument(
        "--trust", type=Path, metavar="FILE", help="the trust file that gets the new signer's public key"
    )
    parser.add_argument("--name", default="", help="whose the new signer's key is")
    parser.add_argument("--days", type=float, metavar="N", help="days until the new signer's key expires (never)")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="make a key to encrypt with")
    given = parser.parse_args(arguments)
    if given.new_key is not None:
        resolve("ceiba.bundle.sealed:make_key")(given.new_key)
        print(f"{given.new_key} holds a new key; without it nothing sealed with it can be opened")
        return finish(given.json, {"key": str(given.new_key)})
    if given.new_signer is not None:
        return _new_signer(given.new_signer, given.trust, given.name, given.days, given.json)
    if given.bundle is None or given.out is None or (given.sign is None and given.encrypt is None):
        raise InputError("ceiba seal needs BUNDLE, --out, and --sign or --encrypt", None, "See: ceiba seal --help")
    bundle = resolve("ceiba.bundle:open_bundle")(resolve("ceiba.cli.opening:bundle_folder")(given.bundle))
    if bundle.sealed is not None:
        raise InputError(f"{given.bundle} must not be encrypted already", None, "Seal the plain bundle")
    out = resolve("ceiba.bundle.sealed:seal")(bundle.folder, given.out, given.sign, given.encrypt)
    how = " and ".join(word for word, is_so in (("signed", given.sign), ("encrypted", given.encrypt)) if is_so)
    print(f"{out} is {how}")
    return finish(
        given.json, {"bundle": str(out), "signed": given.sign is not None, "encrypted": given.encrypt is not None}
    )


def _new_signer(path: Path, trust: Path | None, name: str, days: float | None, as_json: bool) -> int:
    if trust is None:
        raise InputError("--new-signer must go with --trust", "no --trust", "Name the trust file, e.g. trust.json")
    expires = None if days is None else time.time() + days * DAY_S
    signer = resolve("ceiba.bundle.signing:make_signer")(path, trust, name or path.stem, expires)
    print(f"{path} signs as {signer.name} ({signer.id}), whom {trust} trusts")
    return finish(as_json, {"signer": signer.id, "trust": str(trust)})


def unseal(arguments: list[str]) -> int:
    """Write the plain bundle of an encrypted one."""
    parser = words("unseal", "Write the plain bundle of an encrypted one, in a new folder.")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="an encrypted bundle")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the plain bundle goes")
    parser.add_argument("--unlock", required=True, metavar="KEY", help="its key: FILE, env:NAME or command:WORDS")
    parser.add_argument("--trust", type=Path, metavar="FILE", help="it must be signed with a key of this file")
    given = parser.parse_args(arguments)
    bundle = resolve("ceiba.bundle:open_bundle")(given.bundle, given.trust, given.unlock)
    if bundle.sealed is None:
        raise InputError(f"{given.bundle} must be encrypted", "a plain bundle", "Use it as it is")
    out = resolve("ceiba.bundle.sealed:unseal")(bundle.sealed, given.out)
    print(f"{out} holds the plain bundle")
    return finish(given.json, {"bundle": str(out)})
