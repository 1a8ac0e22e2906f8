"""`ceiba export --to gguf`: what was written holds the weights and the tokens, and transformers answers with it as
Ceiba does."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import ceiba
from ceiba.base.errors import BundleError, MissingPackage
from ceiba.bundle import Bundle, open_bundle
from ceiba.cli import main
from ceiba.export import export_gguf
from ceiba.export.gguf import cut_of, refuse_others
from ceiba.export.huggingface import text_field, told_as_family
from ceiba.fields import TextSpec, TokenField
from ceiba.model import open_model

gguf = pytest.importorskip("gguf", reason="gguf is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers
TEXT = "The raven sat upon the bust, and the bust sat upon the door; naïve café, 日本 42!\n" * 8
NETWORKS: dict[str, dict[str, Any]] = {
    "llama": {"kv_heads": 2},
    "llama3": {"positions": {"type": "rotary", "scaling": {"type": "llama3", "factor": 4, "places": 64}}},
    "linear": {"positions": {"type": "rotary", "scaling": {"type": "linear", "factor": 2}}},
    "qwen2": {"bias": ["query_key_value"], "kv_heads": 2},
    "qwen3": {"qk_norm": True, "head_dim": 128},  # which transformers takes for granted in a GGUF file
    "gpt2": {"norm": "layer", "activation": "gelu_tanh", "bias": True, "positions": "none", "feed_forward": 4.0},
}


@pytest.fixture(scope="module")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """A language model of a kind that was trained for a step, every weight then moved off where it starts."""

    @cache
    def make(kind: str) -> Bundle:
        folder = tmp_path_factory.mktemp(kind)
        (folder / "book.txt").write_text(TEXT, encoding="utf-8")
        model: dict[str, Any] = {"dim": 64, "trunk": {"type": "transformer", "layers": 2, "heads": 4, **NETWORKS[kind]}}
        if kind == "gpt2":
            places = {"type": "learned", "places": 1024}  # which transformers takes for granted in a GGUF file
            model["text"] = {"type": "transformer", "layers": 0, "positions": places}
        told = {"type": "text", "tokenizer": {"type": "bpe", "vocab": 300}, "max_tokens": 32, "head": "next_token"}
        train = {"steps": 3, "epochs": 1, "batch_rows": 4, "threads": 1, "optimizer": {"lr": 0.05}, "precision": "fp32"}
        recipe = {
            "data": {"train": str(folder / "book.txt"), "format": "txt"}, "outputs": {"text": told}, "model": model,
            "train": train, "evaluate": {"baselines": False},
        }  # fmt: skip
        return open_bundle(ceiba.train(recipe, out=folder / "run").bundle.folder)

    return make


def values(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {one.name: gguf.dequantize(one.data, one.tensor_type) for one in gguf.GGUFReader(path).tensors}


def meta(path: Path) -> dict[str, Any]:
    return {name: one.contents() for name, one in gguf.GGUFReader(path).fields.items()}


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in ("llama3", "linear")])
def test_transformers_answers_as_ceiba(kind: str, bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    bundle = bundle_of(kind)
    figures = export_gguf(bundle, tmp_path / "out", "f32")
    assert figures["architecture"] == kind
    other = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file="model.gguf").eval()
    model = open_model(bundle)
    field = text_field(bundle, model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out", gguf_file="model.gguf")
    text = "the raven upon 日本, naïve"
    (ids,) = field.token_ids([text])
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids
    given = torch.tensor([ids])
    with torch.inference_mode():
        found = model({"text.ids": given.int()})["text"]
        # Ceiba never answers padding, which llama.cpp is told to suppress.
        torch.testing.assert_close(other(input_ids=given).logits[..., 1:], found[..., 1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama3", "linear"])
def test_scaled_turns_are_told(kind: str, bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    export_gguf(bundle_of(kind), tmp_path / "out", "f32")
    path = tmp_path / "out" / "model.gguf"
    if kind == "linear":
        told = meta(path)
        assert (told["llama.rope.scaling.type"], told["llama.rope.scaling.factor"]) == ("linear", 2.0)
    else:  # within 64 places: ten turns are fast, one and three between, less is slow
        slowing = values(path)["rope_freqs.weight"]
        assert slowing.shape == (8,)
        assert slowing[0] == pytest.approx(1.0)
        assert slowing[0] < slowing[1] < slowing[2] < slowing[3]
        assert slowing[3:].tolist() == pytest.approx([4.0] * 5)


@pytest.mark.parametrize(("weights", "share"), [("f32", 0.0), ("f16", 2**-11), ("q8_0", 1 / 254 + 2**-11)])
def test_weights_are_as_near_as_the_format_can(
    weights: Any, share: float, bundle_of: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundle_of("qwen3")  # whose queries are not laid out anew
    figures = export_gguf(bundle, tmp_path / "out", weights)
    state = open_model(bundle).state_dict()
    found = values(tmp_path / "out" / "model.gguf")
    own = {
        "token_embd.weight": state["encoders.0_text.embedding.table.weight"],
        "blk.1.ffn_up.weight": state["trunk.transformer.blocks.1.feed_forward.0.weight"].chunk(2)[1],
        "blk.0.attn_output.weight": state["trunk.transformer.blocks.0.attention.out.weight"],
        "blk.0.attn_k.weight": state["trunk.transformer.blocks.0.attention.query_key_value.weight"][512:1024],
        "blk.0.attn_q_norm.weight": state["trunk.transformer.blocks.0.attention.query_norm.weight"],
    }
    for name, tensor in own.items():
        value = tensor.numpy()
        assert (np.abs(found[name] - value) <= share * np.abs(value).max(-1, keepdims=True)).all(), name
    if weights == "q8_0":
        assert not np.array_equal(found["blk.1.ffn_up.weight"], own["blk.1.ffn_up.weight"].numpy())
    assert np.array_equal(found["output_norm.weight"], state["trunk.transformer.norm.weight"].numpy())
    assert figures["bytes"] == (tmp_path / "out" / "model.gguf").stat().st_size


def test_options_and_tokens_are_those_of_the_bundle(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    bundle = bundle_of("qwen2")
    export_gguf(bundle, tmp_path / "out")
    told, field = meta(tmp_path / "out" / "model.gguf"), text_field(bundle, open_model(bundle))
    trained = json.loads(field.trained)["model"]
    assert {told["tokenizer.ggml.tokens"][id] for id in trained["vocab"].values()} == set(trained["vocab"])
    assert told["tokenizer.ggml.merges"] == [" ".join(one) for one in trained["merges"]]
    assert told["tokenizer.ggml.pre"] == "gpt-2"
    assert told["tokenizer.ggml.eos_token_id"] == field.special["end"]
    assert told["tokenizer.ggml.token_type"][field.special["end"]] == gguf.TokenType.CONTROL
    assert told["tokenizer.ggml.suppress_tokens"] == [0]
    assert told["qwen2.attention.head_count_kv"] == 2
    assert told["qwen2.context_length"] == 32
    assert told["qwen2.block_count"] == 2


@pytest.mark.parametrize("tokenizer", [{"type": "character"}, {"type": "bpe", "vocab": 300, "lowercase": True}])
def test_tokenizers_that_llama_cpp_does_not_know_are_refused(tokenizer: dict[str, Any]) -> None:
    field = TextSpec.model_validate({"tokenizer": tokenizer}).fit([pa.array([TEXT])])
    assert isinstance(field, TokenField)
    with pytest.raises(BundleError, match=r"byte pairs.*Train with tokenizer: bpe"):
        cut_of(json.loads(field.trained))


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("llama", {"window": 8}, "no window.*8 tokens"),
        ("gpt2", {"activation": "relu"}, "gelu.*Got relu"),
    ],
)
def test_a_window_or_another_activation_is_refused(
    kind: str, change: dict[str, Any], says: str, bundle_of: Callable[[str], Bundle]
) -> None:
    told = told_as_family(bundle_of(kind))
    refuse_others(told)
    options = told.network.options.model_copy(update=change)
    with pytest.raises(BundleError, match=says):
        refuse_others(replace(told, network=replace(told.network, options=options)))


def test_a_missing_package_and_a_foreign_option_are_told(
    bundle_of: Callable[[str], Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = str(bundle_of("llama").folder)
    assert main(["export", folder, "--to", "onnx", "--weights", "f16", "--out", str(tmp_path / "out")]) == 2
    assert "--weights is for --to gguf" in capsys.readouterr().err
    assert main(["export", folder, "--to", "gguf", "--weights", "q8_0", "--out", str(tmp_path / "out")]) == 0
    assert "Exported:" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingPackage, match=r"ceiba\[gguf\]"):
        export_gguf(open_bundle(Path(folder)), tmp_path / "again")
