"""Bundles: what is written is what is opened, and nothing else is."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ceiba.base import files
from ceiba.base.errors import BundleError, CeibaError, InputError
from ceiba.bundle import Bundle, derive_bundle, open_bundle, write_bundle
from ceiba.bundle.write import Extra

FIELD_FILES = {"text/tokenizer.json": b"{}", "..": b"dots", "größe %": b"\x00\xff"}


def make(target: Path, extra: Extra | None = None) -> Path:
    return write_bundle(
        target,
        kind="predictor",
        model={"dim": 8},
        answers={"income": {"type": "binary"}},
        fields_json={"inputs": {"age": {"type": "number"}}},
        field_files=FIELD_FILES,
        recipe_yaml="data: {train: größe.csv}\n",
        weights=bytes(range(256)),
        report={"metrics": {}},
        report_html="<p>é</p>",
        card="# Card\n",
        data_hash="ab",
        edits=[{"type": "lora", "rank": 4}],
        extra=extra,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make(tmp_path / "bundle")


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def reseal(folder: Path) -> None:
    """What an attacker or a newer Ceiba can do: a manifest that fits."""
    (folder / files.MANIFEST).unlink()
    files.write_manifest(folder)


def test_round_trip(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert opened.kind == "predictor"
    assert opened.model == {"dim": 8}
    assert opened.answers == {"income": {"type": "binary"}}
    assert opened.fields_json == {"inputs": {"age": {"type": "number"}}}
    assert opened.field_files() == FIELD_FILES
    assert opened.recipe_text == "data: {train: größe.csv}\n"
    assert opened.weights_path.read_bytes() == bytes(range(256))
    assert opened.report == {"metrics": {}}
    assert opened.edits == [{"type": "lora", "rank": 4}]
    assert opened.parents == []
    assert not opened.has_onnx
    assert opened.read("card.md") == b"# Card\n"
    assert "numpy" in opened.meta["libraries"]


def test_every_flipped_bit_is_refused(bundle: Path) -> None:
    for path in all_files(bundle):
        data = path.read_bytes()
        for place in range(len(data)):
            changed = bytearray(data)
            changed[place] ^= 1 << (place % 8)
            path.write_bytes(bytes(changed))
            # The manifest is no secret: a flip there is caught because it then fits no file.
            with pytest.raises(BundleError):
                files.verify_manifest(bundle)
        path.write_bytes(data)
    open_bundle(bundle)


@pytest.mark.parametrize(
    "name", [path.name for path in [Path(n) for n in ("ceiba.json", "weights.safetensors", "MANIFEST")]]
)
def test_every_truncation_is_refused(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    for length in range(len(data)):
        if name == "MANIFEST" and data[length:].strip() == b"":
            continue
        (bundle / name).write_bytes(data[:length])
        with pytest.raises(BundleError):
            open_bundle(bundle)


def damage_append(folder: Path) -> None:
    with (folder / "weights.safetensors").open("ab") as file:
        file.write(b"\0")


def damage_zeros(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(bytes(path.stat().st_size))


def damage_swap(folder: Path) -> None:
    one, two = folder / "card.md", folder / "report.html"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


def damage_missing(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def damage_extra(folder: Path) -> None:
    (folder / "extra.py").write_text("")


def damage_deep_extra(folder: Path) -> None:
    (folder / "fields" / "more").mkdir()
    (folder / "fields" / "more" / "extra").write_text("")


def damage_case(folder: Path) -> None:
    (folder / "CARD.md").write_text("")


def damage_symlink(folder: Path) -> None:
    path = folder / "card.md"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def damage_folder_link(folder: Path) -> None:
    (folder / "fields").rename(folder.parent / "elsewhere")
    (folder / "fields").symlink_to(folder.parent / "elsewhere")


def damage_hard_link(folder: Path) -> None:
    os.link(folder / "card.md", folder.parent / "elsewhere")


def damage_fifo(folder: Path) -> None:
    (folder / "card.md").unlink()
    os.mkfifo(folder / "card.md")


def damage_folder_for_file(folder: Path) -> None:
    (folder / "card.md").unlink()
    (folder / "card.md").mkdir()


def damage_no_manifest(folder: Path) -> None:
    (folder / files.MANIFEST).unlink()


@pytest.mark.parametrize("damage", [value for name, value in sorted(globals().items()) if name.startswith("damage_")])
def test_every_damage_is_refused_in_one_line(bundle: Path, damage) -> None:  # type: ignore[no-untyped-def]
    damage(bundle)
    with pytest.raises(BundleError) as caught:
        open_bundle(bundle)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_newer_format_names_the_version_to_install(bundle: Path) -> None:
    meta = json.loads((bundle / "ceiba.json").read_text())
    (bundle / "ceiba.json").write_text(json.dumps(meta | {"format": 2, "opened_since": "3.1"}))
    reseal(bundle)
    with pytest.raises(BundleError, match=r"newer.*Got 2.*ceiba>=3\.1"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": true}', '{"format": 1}', '{"format": "1"}', "[" * 100_000]
)
def test_a_resealed_bad_description_is_refused(bundle: Path, text: str) -> None:
    (bundle / "ceiba.json").write_text(text)
    reseal(bundle)
    with pytest.raises(BundleError):
        open_bundle(bundle)


@pytest.mark.parametrize("name", ["ceiba.json", "fields.json", "recipe.yaml"])
def test_a_resealed_bundle_without_a_needed_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    reseal(bundle)
    with pytest.raises(BundleError, match=name):
        open_bundle(bundle)


def test_nothing_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("nothing", "file"):
        with pytest.raises(BundleError):
            open_bundle(tmp_path / name)


def test_a_run_is_opened_through_its_bundle(tmp_path: Path) -> None:
    make(tmp_path / "run" / "bundle")
    assert open_bundle(tmp_path / "run").folder == tmp_path / "run" / "bundle"


def test_an_existing_target_is_left_alone(bundle: Path) -> None:
    before = open_bundle(bundle).identity
    with pytest.raises(InputError):
        make(bundle)
    assert open_bundle(bundle).identity == before


def test_extra_files_are_made_from_the_unsealed_bundle(tmp_path: Path) -> None:
    def extra(opened: Bundle) -> dict[str, bytes]:
        return {"length.txt": str(len(opened.weights_path.read_bytes())).encode()}

    assert open_bundle(make(tmp_path / "b", extra)).read("length.txt") == b"256"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", "MANIFEST", "a\\b", "weights.safetensors"])
def test_extra_files_stay_inside_and_replace_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError):
        make(tmp_path / "b", {name: b""})
    assert list(tmp_path.iterdir()) == []


def test_any_failing_operation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = 0
    for failing in range(1000):
        seen = 0

        def hook(operation: str, path: Path, failing: int = failing) -> None:
            nonlocal seen
            seen += 1
            if seen > failing:
                raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(files, "on_operation", hook)
        try:
            make(tmp_path / "b")
        except OSError:
            failed += 1
            monkeypatch.setattr(files, "on_operation", None)
            if (tmp_path / "b").exists():  # only the last fsync, of the parent, comes after the rename
                open_bundle(tmp_path / "b")
                shutil.rmtree(tmp_path / "b")
            assert list(tmp_path.iterdir()) == []
            continue
        break
    assert failed > len(all_files(tmp_path / "b"))


def test_derived_bundle_names_its_ancestors(bundle: Path, tmp_path: Path) -> None:
    first = open_bundle(bundle)
    second = open_bundle(derive_bundle(first, tmp_path / "two", {"model.onnx": b"onnx"}, {"kind": "exported"}))
    third = open_bundle(derive_bundle(second, tmp_path / "three", {"card.md": b"new"}))
    assert second.has_onnx
    assert second.kind == "exported"
    assert [entry["identity"] for entry in third.parents] == [first.identity, second.identity]
    assert third.field_files() == FIELD_FILES
    assert third.read("card.md") == b"new"
    assert first.read("card.md") == b"# Card\n"


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o022])
def test_nobody_else_may_write(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make(tmp_path / "b")
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode for path in (tmp_path / "b", *(tmp_path / "b").rglob("*"))}
    assert not any(mode & 0o002 for mode in modes.values())
    assert (tmp_path / "b" / "weights.safetensors").stat().st_mode & 0o777 == 0o664 & ~umask


def test_meta_cannot_lie_about_the_format(tmp_path: Path) -> None:
    with pytest.raises(CeibaError):
        write_bundle(
            tmp_path / "b",
            kind="x",
            model={},
            answers={},
            fields_json={},
            field_files={},
            recipe_yaml="",
            weights=None,
            meta={"format": 7},
        )
