"""Every family against transformers: random small networks, both ways."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ceiba.base.errors import CeibaError, DataError, InputError, RecipeError
from ceiba.encoders import ENCODERS
from ceiba.families import FAMILIES, Network, foreign_weights, network_of, open_folder, own_weights
from ceiba.fields import TextLayout
from ceiba.trunks import TRUNKS

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # its own
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "vocab_size": 30}
ROPE = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("Bert", "BertModel", {**SMALL, "max_position_embeddings": 24, "layer_norm_eps": 1e-6}),
    "bert, other activation": ("Bert", "BertForMaskedLM", {**SMALL, "hidden_act": "gelu_new"}),
    "roberta": ("Roberta", "RobertaForMaskedLM", {**SMALL, "max_position_embeddings": 26, "type_vocab_size": 1}),
    "distilbert": (
        "DistilBert", "DistilBertForMaskedLM",
        {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 40, "vocab_size": 30},
    ),
    "gpt2": ("GPT2", "GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 4, "vocab_size": 30, "n_positions": 24}),
    "llama": ("Llama", "LlamaForCausalLM", {**SMALL, "num_key_value_heads": 2}),
    "llama 3, biases": (
        "Llama", "LlamaForCausalLM",
        {**SMALL, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "rope_parameters": ROPE},
    ),
    "mistral": (
        "Mistral", "MistralForCausalLM", {**SMALL, "num_key_value_heads": 1, "sliding_window": 3, "head_dim": 6},
    ),
    "qwen2": ("Qwen2", "Qwen2ForCausalLM", {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen2, window": (
        "Qwen2", "Qwen2ForCausalLM",
        {**SMALL, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 0, "num_key_value_heads": 4},
    ),
    "qwen3": ("Qwen3", "Qwen3ForCausalLM", {**SMALL, "num_key_value_heads": 2, "head_dim": 6}),
}  # fmt: skip


def foreign(case: str, folder: Path) -> Any:
    """A random network of transformers, saved; its norms and biases are not where they start."""
    config, kind, options = CASES[case]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, f"{config}Config")(**options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def own(network: Network, vocab: int) -> torch.nn.ModuleDict:
    """Ceiba's layers for a network, without weights yet."""
    layout = TextLayout(vocab, 12, weighted=False)
    parts = {"encoder": ENCODERS["text"]["transformer"].model_validate(network.encoder).build(layout, network.dim)}
    if network.trunk is not None:
        parts["trunk"] = TRUNKS["transformer"].model_validate(network.trunk).build(network.dim, ("text",), 0)
        parts["head"] = torch.nn.ModuleDict({"linear": torch.nn.Linear(network.dim, vocab, bias=False)})
    return torch.nn.ModuleDict(parts).eval()


def filled(folder: Path, shift: int) -> tuple[Network, torch.nn.ModuleDict]:
    opened = open_folder(folder)
    network = network_of(opened)
    family = FAMILIES[network.family]
    model = own(network, network.vocab + shift)
    state = model.state_dict()
    prefixes = (family.prefix, "")
    weights = own_weights(family.weights(network), state, lambda name: opened.read(name, prefixes), str(folder))
    missing = set(state) - set(weights)
    assert missing <= ({"head.linear.weight"} if network.is_tied else set())
    model.load_state_dict(weights, strict=False)
    return network, model


def answers(model: torch.nn.ModuleDict, network: Network, ids: Tensor, mask: Tensor, shift: int) -> Tensor:
    """Hidden states, or for a language model logits in foreign order."""
    own_ids = torch.where(mask, ids + shift, 0).int()
    tokens = model["encoder"]({"ids": own_ids})
    if "trunk" not in model:
        return tokens.values
    values = model["trunk"]({"text": tokens}).values
    table = model["encoder"].table if network.is_tied else model["head"]["linear"].weight
    return (values @ table.T)[..., shift:]


def theirs(model: Any, ids: Tensor, mask: Tensor, hidden: bool) -> Tensor:
    body = model.base_model if hidden else model
    found = body(input_ids=ids, attention_mask=mask.long())
    return found.last_hidden_state if hidden else found.logits


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_both_ways(case: str, shift: int, tmp_path: Path) -> None:
    other = foreign(case, tmp_path / "theirs")
    network, model = filled(tmp_path / "theirs", shift)
    lengths = torch.tensor([12, 7, 1])
    mask = torch.arange(12) < lengths[:, None]
    ids = torch.where(mask, torch.randint(2, 30, (3, 12)), 1 if case == "roberta" else 0)
    hidden = network.trunk is None
    with torch.inference_mode():
        found = answers(model, network, ids, mask, shift)
        expected = theirs(other, ids, mask, hidden)
    torch.testing.assert_close(found[mask], expected[mask], rtol=1e-5, atol=1e-5)

    family = FAMILIES[network.family]
    config = {"model_type": family.name, **family.write(network)}
    assert family.read(config).is_like(network)
    kind = family.architecture if hidden else family.language_model
    target = tmp_path / "ours"
    target.mkdir()
    tensors = foreign_weights(family.weights(network), model.state_dict(), network)
    if not hidden:
        tensors = {name if name == "lm_head.weight" else family.prefix + name: value for name, value in tensors.items()}
    from safetensors.torch import save_file

    (target / "config.json").write_text(json.dumps({**config, "architectures": [kind]}))
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    again, told = getattr(transformers, str(kind)).from_pretrained(target, output_loading_info=True)
    assert not told["unexpected_keys"]
    assert {name for name in told["missing_keys"] if "pooler" not in name} == set()
    with torch.inference_mode():
        torch.testing.assert_close(theirs(again.eval(), ids, mask, hidden)[mask], expected[mask], rtol=1e-5, atol=1e-5)


def test_a_folder_in_several_files_is_read(tmp_path: Path) -> None:
    other = foreign("llama", tmp_path / "one")
    other.save_pretrained(tmp_path / "many", max_shard_size="4KB")
    assert len(set(open_folder(tmp_path / "many").files.values())) > 1
    one, many = (filled(tmp_path / name, 0)[1].state_dict() for name in ("one", "many"))
    assert all(torch.equal(one[name], many[name]) for name in one)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    foreign("bert", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, which is code when it is read.*save_pretrained"):
        filled(tmp_path, 0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"model_type": "mamba"}, "must name a family"),
        ({"hidden_act": "mish"}, "hidden_act must be known"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type must be absolute"),
        ({"num_hidden_layers": 3}, r"must hold the weight encoder\.layer\.2"),
        ({"hidden_size": 32}, r"must hold .* as config\.json has it"),
        ({"hidden_size": None}, "must"),
    ],
)
def test_what_does_not_fit_is_told(change: dict[str, Any], rule: str, tmp_path: Path) -> None:
    foreign("bert", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(
        json.dumps({key: value for key, value in config.items() if value is not None})
    )
    with pytest.raises(CeibaError, match=rule):
        filled(tmp_path, 0)


def test_damaged_files_are_told(tmp_path: Path) -> None:
    foreign("bert", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="must be a safetensors file"):
        filled(tmp_path, 0)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(DataError, match="must be a JSON object"):
        filled(tmp_path, 0)


def test_names_on_the_hub_are_pinned_and_a_missing_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="must have its commit"):
        open_folder("google-bert/bert-base-uncased")
    with pytest.raises(RecipeError, match="must be a bundle, a folder"):
        open_folder("no/such/folder")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    import huggingface_hub

    def fails(*_: object, **__: object) -> None:
        raise OSError("Connection refused")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(InputError, match=r"must be on the hub.*Connection refused.*copy its folder here"):
        open_folder("google-bert/bert-base-uncased@" + "0" * 40)
