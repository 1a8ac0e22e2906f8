"""Weights that are too large for one file are written into several, and read as one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from ceiba.base.errors import BundleError
from ceiba.bundle import derive_bundle, open_bundle, weights, write_bundle
from ceiba.model import load_weights


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 40).half())


def bundle_of(folder: Path, model: torch.nn.Module) -> Path:
    parts = {"model": {}, "answers": {}, "fields_json": {}, "field_files": {}, "recipe_yaml": ""}
    return write_bundle(folder, kind="model", weights=save(model.state_dict()), **parts)  # type: ignore[arg-type]


def test_shards_are_safetensors_files_of_whole_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MOST_BYTES", 250)
    model = network()
    folder = bundle_of(tmp_path / "bundle", model)
    names = sorted(path.name for path in folder.glob("weights*"))
    shards = [name for name in names if not name.endswith(".json")]
    assert len(shards) > 2
    assert shards[0] == f"weights-00001-of-{len(shards):05d}.safetensors"
    index = json.loads((folder / "weights.safetensors.index.json").read_text())
    state = model.state_dict()
    assert index["weight_map"].keys() == state.keys()
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in state.values())
    found = {}
    for name in shards:
        part = load_file(folder / name)
        assert {index["weight_map"][one] for one in part} == {name}
        assert len(part) == 1 or sum(value.nbytes for value in part.values()) <= 250
        found |= part
    assert all(torch.equal(value, found[name]) and value.dtype == found[name].dtype for name, value in state.items())


def test_a_model_reads_them_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = network(), network()
    whole = bundle_of(tmp_path / "whole", model)
    monkeypatch.setattr(weights, "MOST_BYTES", 250)
    cut = bundle_of(tmp_path / "cut", model)
    for folder in (whole, cut):
        for parameter in other.parameters():
            torch.nn.init.zeros_(parameter)
        load_weights(other, open_bundle(folder).weights_path)
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_derived_bundle_keeps_or_replaces_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MOST_BYTES", 250)
    parent = open_bundle(bundle_of(tmp_path / "parent", network()))
    kept = derive_bundle(parent, tmp_path / "kept", {"card.md": b"new"})
    assert open_bundle(kept).weights_path.name == "weights.safetensors.index.json"
    small = torch.nn.Linear(1, 1)
    replaced = derive_bundle(parent, tmp_path / "small", {"weights.safetensors": save(small.state_dict())})
    assert [path.name for path in replaced.glob("weights*")] == ["weights.safetensors"]
    load_weights(torch.nn.Linear(1, 1), open_bundle(replaced).weights_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": {"a": "../secret.safetensors"}}', '{"weight_map": {"a": 3}}']
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "weights.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(BundleError):
        load_weights(network(), path)
