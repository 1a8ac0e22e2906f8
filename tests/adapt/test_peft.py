"""Adapters in the form of the package peft, in and out, against that package."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import ceiba
from ceiba.base.errors import InputError
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.model import open_model

Pretrained = Callable[[str], Path]
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers and peft
STILL = {"steps": 1, "batch_rows": 16, "threads": 1, "optimizer": {"lr": 1e-12}}
"""Training that changes nothing that can be seen."""
IDS = torch.tensor([[2, 4, 7, 9, 3], [2, 11, 5, 6, 3]])
LAYERS = {"bert": ["query", "value", "attention.output.dense", "intermediate.dense"], "gpt2": ["c_attn", "mlp.c_proj"]}


def recipe(family: str, news: dict[str, Any], folder: Path, adapt: Any, **train: Any) -> dict[str, Any]:
    text = {"data": news["data"], "outputs": {"text": {"type": "text", "head": "next_token", "max_tokens": 8}}}
    return {**(news if family == "bert" else text), "from": str(folder), "adapt": adapt, "train": {**STILL, **train}}


def tokens_of(bundle: Path, family: str) -> torch.Tensor:
    """What a bundle makes of some tokens: the last hidden states, or the logits of a language model."""
    model = open_model(open_bundle(bundle))
    with torch.inference_mode():
        tokens = model.tokens({"text.ids": (IDS + (0 if family == "bert" else 1)).int()})
        return tokens.values if family == "bert" else model.logits("text", tokens)[..., 1:]


def in_transformers(family: str, folder: Path) -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    kind = transformers.AutoModel if family == "bert" else transformers.AutoModelForCausalLM
    return kind.from_pretrained(folder).eval()


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_an_adapter_of_peft_answers_as_it_does_there(
    family: str, pretrained: Pretrained, news: dict[str, Any], tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    folder, adapter = pretrained(family), tmp_path / "adapter"
    options = {"r": 3, "lora_alpha": 5, "target_modules": LAYERS[family], "fan_in_fan_out": family == "gpt2"}
    other = peft.get_peft_model(in_transformers(family, folder), peft.LoraConfig(use_rslora=True, **options)).eval()
    torch.manual_seed(2)
    for name, parameter in other.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    other.save_pretrained(adapter)

    run = ceiba.train(recipe(family, news, folder, {"type": "lora", "adapter": str(adapter)}), out=tmp_path / "run")
    with torch.inference_mode():
        expected = other(input_ids=IDS)[0]
        plain = other.get_base_model()
        with other.disable_adapter():
            without = plain(input_ids=IDS)[0]
    found = tokens_of(run.bundle.folder, family)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (found - without).abs().max() > 0.01
    assert run.bundle.edits[0]["rank"] == 3
    assert "adapter: " in run.bundle.recipe_text


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_what_is_exported_answers_alike_in_peft(
    family: str, pretrained: Pretrained, news: dict[str, Any], tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    folder, adapt = pretrained(family), {"type": "lora", "rank": 2, "alpha": 3, "targets": ["query_key_value", "down"]}
    if family == "bert":
        adapt["targets"] = ["query", "out", "down"]
    moved = recipe(family, news, folder, adapt, steps=20, optimizer={"lr": 0.05})
    run = ceiba.train(moved, out=tmp_path / "run")
    assert main(["export", str(run.folder), "--to", "peft", "--out", str(tmp_path / "adapter")]) == 0
    found = tokens_of(run.bundle.folder, family)
    other = peft.PeftModel.from_pretrained(in_transformers(family, folder), tmp_path / "adapter").eval()
    with torch.inference_mode():
        expected = other(input_ids=IDS)[0]
        with other.disable_adapter():
            assert (other(input_ids=IDS)[0] - expected).abs().max() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    adapted = recipe(family, news, folder, {"type": "lora", "adapter": str(tmp_path / "adapter")})
    again = ceiba.train(adapted, out=tmp_path / "again")
    torch.testing.assert_close(tokens_of(again.bundle.folder, family), found, rtol=1e-5, atol=1e-5)


def test_layers_that_an_adapter_leaves_alone_stay_as_they_are(
    pretrained: Pretrained, news: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, adapter = pretrained("bert"), tmp_path / "adapter"
    run = ceiba.train(
        recipe("bert", news, folder, {"type": "lora", "rank": 2, "targets": ["up"]}), out=tmp_path / "run"
    )
    assert main(["export", str(run.folder), "--to", "peft", "--out", str(adapter)]) == 0
    tensors = {name: one + 1 for name, one in load_file(adapter / "adapter_model.safetensors").items() if ".1." in name}
    assert len(tensors) == 2
    save_file(tensors, adapter / "adapter_model.safetensors")
    adapt = {"type": "lora", "adapter": str(adapter)}
    again = ceiba.train(recipe("bert", news, folder, adapt), out=tmp_path / "again")
    state = open_model(again.bundle).state_dict()
    ups = {name: one for name, one in state.items() if ".up." in name}
    assert [bool(one.abs().max() > 0.5) for one in ups.values()] == [False, True]

    config = json.loads((adapter / "adapter_config.json").read_text())
    for changed, told in (
        ({"use_dora": True}, "use_dora must be False"), ({"peft_type": "IA3"}, "must describe LoRA"),
        ({"r": 5}, "LoRA of rank 5"),
    ):  # fmt: skip
        (adapter / "adapter_config.json").write_text(json.dumps({**config, **changed}))
        with pytest.raises(InputError, match=told):
            ceiba.train(recipe("bert", news, folder, adapt), out=tmp_path / "refused")
    with pytest.raises(InputError, match="must not hold rank beside adapter"):
        ceiba.train(recipe("bert", news, folder, {**adapt, "rank": 2}), out=tmp_path / "refused")
    plain = ceiba.train(recipe("bert", news, folder, "full"), out=tmp_path / "full")
    assert main(["export", str(plain.folder), "--to", "peft"]) == 2
    assert "must have LoRA matrices to export" in capsys.readouterr().err
