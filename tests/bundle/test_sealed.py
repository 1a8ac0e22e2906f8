"""Sealed bundles: what is signed and encrypted opens; whatever was changed since, or is another's, does not."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ceiba.base.errors import BundleError, InputError
from ceiba.base.files import MANIFEST, write_manifest
from ceiba.bundle import open_bundle, write_bundle
from ceiba.bundle.sealed import INDEX, SEALED, make_key, open_sealed, seal, unseal
from ceiba.bundle.signing import SIGNATURE, make_signer, read_signer, signature
from ceiba.bundle.stream import HEADER_BYTES, SEGMENT_BYTES, TAG_BYTES, decrypted, encrypted

SECRET = b"the weights are a secret" * 20
MASTER = bytes(range(32))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A small plain bundle."""
    return write_bundle(
        tmp_path / "plain", kind="model", model={}, answers={}, fields_json={"inputs": {}},
            field_files={"inputs/a/b": b"words"},
        recipe_yaml="a: 1\n", weights=SECRET, extra={"model.onnx": b"graph" * 9},
    )  # fmt: skip


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path, str]:
    """A signer, the trust in it, and a key to encrypt with."""
    make_signer(tmp_path / "signer.pem", tmp_path / "trust.json", "us")
    make_key(tmp_path / "bundle.key")
    return tmp_path / "signer.pem", tmp_path / "trust.json", str(tmp_path / "bundle.key")


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES])
def test_a_stream_comes_back(size: int) -> None:
    data = random.Random(0).randbytes(size)
    sealed = b"".join(encrypted(data, MASTER, b"a"))
    assert decrypted(sealed, MASTER, b"a") == data
    assert len(sealed) == HEADER_BYTES + size + TAG_BYTES * max(1, -(-size // SEGMENT_BYTES))
    assert b"".join(encrypted(data, MASTER, b"a")) != sealed


def test_a_stream_that_was_changed_gives_nothing() -> None:
    data = random.Random(0).randbytes(3 * SEGMENT_BYTES + 5)
    sealed, other = (b"".join(encrypted(data, MASTER, b"a")) for _ in range(2))
    whole = SEGMENT_BYTES + TAG_BYTES
    head, parts = (
        sealed[:HEADER_BYTES],
        [sealed[start : start + whole] for start in range(HEADER_BYTES, len(sealed), whole)],
    )
    changed = {
        "cut at the edge of a segment": head + b"".join(parts[:3]),
        "cut in a segment": sealed[:-1],
        "the last segment alone": head + parts[3],
        "two swapped": head + parts[1] + parts[0] + parts[2] + parts[3],
        "one twice": head + parts[0] + parts[0] + b"".join(parts[1:]),
        "more behind": sealed + b"\0",
        "a segment of another file": head + other[HEADER_BYTES : HEADER_BYTES + whole] + b"".join(parts[1:]),
        "the header of another file": other[:HEADER_BYTES] + b"".join(parts),
        "no segment": head,
        "nothing": b"",
    }
    for what, found in changed.items():
        with pytest.raises(BundleError, match="as it was sealed"):
            raise AssertionError(what, decrypted(found, MASTER, b"a")[:10])
    for name, master in ((b"b", MASTER), (b"a", bytes(32))):
        with pytest.raises(BundleError):
            decrypted(sealed, master, name)
    for place in [*range(HEADER_BYTES + 2), *random.Random(1).sample(range(len(sealed)), 60)]:
        flipped = bytearray(sealed)
        flipped[place] ^= 1 << (place % 8)
        with pytest.raises(BundleError):
            decrypted(bytes(flipped), MASTER, b"a")


def test_a_sealed_bundle_opens_in_memory_and_comes_back(
    plain: Path, keys: tuple[Path, Path, str], tmp_path: Path
) -> None:
    signer, trust, key = keys
    sealed = seal(plain, tmp_path / "sealed", signer, key)
    bundle = open_bundle(sealed, trust, key)
    assert bundle.onnx == b"graph" * 9
    assert bundle.field_files() == {"inputs/a/b": b"words"}
    assert bundle.read("weights.safetensors") == SECRET
    with pytest.raises(BundleError, match="encrypted"):
        bundle.weights_path  # noqa: B018
    for path in sealed.rglob("*"):
        data = path.read_bytes()
        assert not any(word in data for word in (b"secret", b"graph", b"words", b"safetensors"))
    assert bundle.sealed is not None
    back = unseal(bundle.sealed, tmp_path / "back")
    assert {path.name: path.read_bytes() for path in back.iterdir() if path.is_file()} == {
        path.name: path.read_bytes() for path in plain.iterdir() if path.is_file()
    }
    open_bundle(back)


def test_each_refusal_has_its_own_words(
    plain: Path, keys: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, trust, key = keys
    sealed = seal(plain, tmp_path / "sealed", signer, key)
    make_key(tmp_path / "other.key")
    make_signer(tmp_path / "stranger.pem", tmp_path / "strange.json", "a stranger")
    make_signer(tmp_path / "old.pem", tmp_path / "old.json", "one of old", expires=1.0)
    with pytest.raises(BundleError, match=r"must be signed\. Got no signature"):
        open_bundle(plain, trust)
    with pytest.raises(BundleError, match="encrypted and needs its key"):
        open_bundle(sealed, trust)
    with pytest.raises(BundleError, match=r"the key that it was sealed with\. Got another key"):
        open_bundle(sealed, trust, str(tmp_path / "other.key"))
    with pytest.raises(BundleError, match="by one who is trusted"):
        open_bundle(sealed, tmp_path / "strange.json", key)
    old = seal(plain, tmp_path / "sealed by old", tmp_path / "old.pem")
    with pytest.raises(BundleError, match="which expired"):
        open_bundle(old, tmp_path / "old.json")
    other = write_bundle(
        tmp_path / "other",
        kind="model",
        model={},
        answers={},
        fields_json={},
        field_files={},
        recipe_yaml="",
        weights=None,
    )
    (sealed / MANIFEST).unlink()
    with pytest.raises(BundleError, match=r"must be signed\. Got no manifest"):
        open_bundle(sealed, trust, key)
    (sealed / MANIFEST).write_bytes((other / MANIFEST).read_bytes())
    with pytest.raises(BundleError, match=r"as us signed it\. Got an altered manifest"):
        open_bundle(sealed, trust, key)
    monkeypatch.setenv("CEIBA_TEST_KEY", Path(key).read_text())
    again = seal(plain, tmp_path / "again", key="env:CEIBA_TEST_KEY")
    assert open_bundle(again, None, f"command:cat {key}").read("weights.safetensors") == SECRET
    for source in ("env:NO_SUCH_NAME", "command:false", "command:echo word", str(plain)):
        with pytest.raises(InputError, match="must give a key"):
            open_bundle(again, None, source)


def resealed(sealed: Path, signer: Path | None = None) -> Path:
    """A folder whose manifest was made anew by whoever changed it."""
    (sealed / MANIFEST).unlink()
    kept = (sealed / SIGNATURE).read_bytes() if (sealed / SIGNATURE).exists() else None
    (sealed / SIGNATURE).unlink(missing_ok=True)
    write_manifest(sealed)
    if signer is not None:
        (sealed / SIGNATURE).write_bytes(signature(read_signer(signer), (sealed / MANIFEST).read_bytes()))
    elif kept is not None:
        (sealed / SIGNATURE).write_bytes(kept)
    return sealed


def test_one_who_has_no_key_cannot_change_an_encrypted_bundle(
    plain: Path, keys: tuple[Path, Path, str], tmp_path: Path
) -> None:
    """Even with a manifest made anew: files that are dropped, swapped or taken from another sealing are refused."""
    _, _, key = keys
    sealed, twin = seal(plain, tmp_path / "sealed", key=key), seal(plain, tmp_path / "twin", key=key)
    names = sorted(path.name for path in sealed.glob("0*.bin"))

    def change(place: int) -> Path:
        copy = Path(shutil.copytree(sealed, tmp_path / f"copy {place}"))
        if place == 0:
            (copy / names[0]).unlink()
        elif place == 1:
            first, second = (copy / names[0]).read_bytes(), (copy / names[1]).read_bytes()
            (copy / names[0]).write_bytes(second)
            (copy / names[1]).write_bytes(first)
        elif place == 2:
            (copy / names[2]).write_bytes((twin / names[2]).read_bytes())
        elif place == 3:
            shutil.copy(twin / INDEX, copy / INDEX)
        elif place == 4:
            (copy / "more.bin").write_bytes(b"more")
        else:
            head = json.loads((copy / SEALED).read_text())
            (copy / SEALED).write_text(json.dumps(head | {"id": json.loads((twin / SEALED).read_text())["id"]}))
        return resealed(copy)

    for place in range(6):
        copy = change(place)
        with pytest.raises(BundleError):  # noqa: PT012
            bundle = open_bundle(copy, None, key)
            assert bundle.sealed is not None
            unseal(bundle.sealed, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    assert open_sealed(sealed, key).read("recipe.yaml") == b"a: 1\n"


def test_only_sealed_bundles_need_the_package(plain: Path, keys: tuple[Path, Path, str], tmp_path: Path) -> None:
    """Who never seals never installs it; who is asked to check a signature without it is told how to get it."""
    signer, trust, key = keys
    sealed = seal(plain, tmp_path / "sealed", signer, key)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "class Without:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'cryptography':\n            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Without)\n"
        "from ceiba.base.errors import MissingPackage\n"
        "from ceiba.bundle import open_bundle\n"
        "plain, sealed, trust, key = sys.argv[1:]\n"
        "open_bundle(plain)\n"
        "for given in ({'trust': Path(trust)}, {'unlock': key}):\n"
        "    try:\n        open_bundle(sealed, **given)\n"
        "    except MissingPackage as error:\n        print(error)\n"
    )
    words = [sys.executable, "-c", code, str(plain), str(sealed), str(trust), key]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(told) == 2
    assert all(line.endswith("Run: pip install 'ceiba[seal]'.") for line in told), told
