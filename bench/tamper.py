"""Changes of sealed bundles, of which not one may be opened: bits, cuts, additions, swaps, links, other manifests.

Run: python -m bench.tamper [--changes 200]
"""

import argparse
import json
import random
import shutil
import tempfile
from pathlib import Path

from ceiba.base.errors import CeibaError
from ceiba.base.files import MANIFEST, write_manifest
from ceiba.bundle import open_bundle, write_bundle
from ceiba.bundle.sealed import make_key, seal, unseal
from ceiba.bundle.signing import SIGNATURE, make_signer


def change(folder: Path, source: random.Random) -> str:
    """One random change of a sealed folder; its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    one, other = source.sample(files, 2)
    data = bytearray(one.read_bytes())
    kind = source.choice(["flip", "cut", "add", "zero", "swap", "remove", "extra", "link", "remake", "copy"])
    if kind == "flip":
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    elif kind == "cut":
        del data[source.randrange(len(data)) :]
    elif kind == "add":
        data += source.randbytes(source.randrange(1, 40))
    elif kind == "zero":
        data[:] = bytes(len(data))
    if kind in ("flip", "cut", "add", "zero"):
        one.write_bytes(data)
    elif kind == "swap":
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    elif kind == "remove":
        one.unlink()
    elif kind == "extra":
        (folder / "more.bin").write_bytes(source.randbytes(20))
    elif kind == "link":
        one.unlink()
        one.symlink_to(other)
    elif kind == "copy":
        one.write_bytes(other.read_bytes())
    else:  # a byte, and a manifest made anew by whoever changed it
        kept = (folder / SIGNATURE).read_bytes()
        target = source.choice([path for path in files if path.name not in (MANIFEST, SIGNATURE)])
        changed = bytearray(target.read_bytes())
        changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
        target.write_bytes(changed)
        (folder / MANIFEST).unlink()
        (folder / SIGNATURE).unlink()
        write_manifest(folder)
        (folder / SIGNATURE).write_bytes(kept)
    return f"{kind} of {one.name}"


def main() -> None:
    """Count what was refused."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=200)
    changes = parser.parse_args().changes
    refused = {"signed": 0, "encrypted": 0}
    with tempfile.TemporaryDirectory() as place:
        here, source = Path(place), random.Random(0)
        plain = write_bundle(
            here / "plain", kind="model", model={}, answers={}, fields_json={"inputs": {}},
            field_files={"inputs/a/b": b"w" * 99},
            recipe_yaml="a: 1\n", weights=source.randbytes(200_000), extra={"model.onnx": source.randbytes(100_000)},
        )  # fmt: skip
        make_signer(here / "signer.pem", here / "trust.json", "us")
        make_key(here / "bundle.key")
        key = str(here / "bundle.key")
        sealed = {
            "signed": seal(plain, here / "signed", here / "signer.pem"),
            "encrypted": seal(plain, here / "encrypted", here / "signer.pem", key),
        }
        for kind, folder in sealed.items():
            opened = open_bundle(folder, here / "trust.json", key)
            if opened.sealed is not None:
                unseal(opened.sealed, here / "as it was")
            for number in range(changes):
                copy = Path(shutil.copytree(folder, here / f"{kind} {number}"))
                what = change(copy, source)
                try:
                    bundle = open_bundle(copy, here / "trust.json", key)
                    if bundle.sealed is not None:
                        unseal(bundle.sealed, here / "out")
                    print(f"opened: {kind} {what}")
                except CeibaError:
                    refused[kind] += 1
                assert not (here / "out").exists()
                shutil.rmtree(copy)
    print(json.dumps({"changes": changes, "refused": refused}))


if __name__ == "__main__":
    main()
