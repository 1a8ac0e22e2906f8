"""One GGUF file that llama.cpp and its kin run: the options, the weights and the byte pairs of a language model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ceiba.base.errors import BundleError, listed
from ceiba.base.files import write_folder
from ceiba.base.optional import require
from ceiba.bundle import Bundle
from ceiba.export.huggingface import WRITERS, Told, told_as_family
from ceiba.families import Network
from ceiba.fields.tokens import TokenField
from ceiba.layers import RotaryPositionsSpec
from ceiba.layers.positions import LinearScalingSpec, Llama3ScalingSpec

Weights = Literal["f32", "f16", "q8_0"]
Array = NDArray[Any]
FILE = "model.gguf"
ARCHITECTURES = {"gpt2": "gpt2", "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""Family → what llama.cpp calls it."""
GELUS = ("gelu", "gelu_tanh")
"""Of GPT-2's shape; llama.cpp computes the second for both, which differs in the fourth digit."""
ROUNDING = {"f32": 0.0, "f16": 2.0**-11, "q8_0": 1 / 254 + 2.0**-11}
"""What a weight may differ by, as a share of the largest of its row."""
QUANTIZED_ROW = 32
WHOLE = ("position_embd.weight", "rope_freqs.weight")
"""Matrices that llama.cpp reads in float32 alone."""
BYTES_OF_GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
CONTRACTIONS, REST = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|", "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
BLANKS = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
SPLITS = {
    f"{CONTRACTIONS}\\p{{N}}{{1,3}}{REST}{BLANKS}": "llama-bpe",
    f"{CONTRACTIONS}\\p{{N}}{REST}{BLANKS}": "qwen2",
}
"""The expression by which a text is cut before bytes are paired → llama.cpp's name for it."""
SUPPRESSED = "tokenizer.ggml.suppress_tokens"
TOKEN_IDS = {"begin": "bos", "end": "eos", "padding": "pad", "unknown": "unk", "separator": "sep", "mask": "mask"}


def export_gguf(bundle: Bundle, out: Path, weights: Weights = "f16") -> dict[str, Any]:
    """Write a folder with `model.gguf`; matrices in a number format, vectors in float32. LoRA is merged.

    It is written only if reading it again gives the same weights, as near as the format can.

    Raises: BundleError for what is no language model, or a network or tokenizer that llama.cpp does not know;
    MissingPackage without gguf.
    """
    gguf = require("gguf", "gguf", "write a GGUF file")
    told = told_as_family(bundle)
    refuse_others(told)
    kind = gguf.GGMLQuantizationType[weights.upper()]
    tensors = _tensors(told, gguf)
    with write_folder(out, manifest=False) as folder:
        writer = gguf.GGUFWriter(folder / FILE, ARCHITECTURES[told.family.name])
        _add_options(writer, told.network, told.field, gguf)
        _add_tokens(writer, told.field, told.network.vocab, gguf)
        writer.add_file_type(gguf.LlamaFileType[{"f32": "ALL_F32"}.get(weights, f"MOSTLY_{weights.upper()}")])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for name, value in tensors.items():
            used = _kind_of(name, value, kind, gguf)
            writer.add_tensor(name, gguf.quantize(value, used), raw_dtype=used)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        _check(folder / FILE, tensors, ROUNDING[weights], gguf)
        num_bytes = (folder / FILE).stat().st_size
    return {
        "architecture": ARCHITECTURES[told.family.name], "weights": weights, "file": str(out / FILE),
        "bytes": num_bytes, "parameters": sum(value.size for value in tensors.values()), "left_out": told.left_out,
    }  # fmt: skip


def refuse_others(told: Told) -> None:
    """Raises: BundleError for what llama.cpp would compute otherwise."""
    options, do = told.network.options, "Use --to huggingface"
    if not told.is_language_model:
        raise BundleError("A GGUF file holds a language model", f"no head of {listed(sorted(WRITERS))}", do)
    if told.family.name not in ARCHITECTURES:
        raise BundleError(f"A GGUF file holds one of {listed(ARCHITECTURES)}", told.family.name, do)
    if options.window is not None and options.window < told.field.max_tokens:
        raise BundleError("A GGUF file of this kind has no window", f"{options.window} tokens", do)
    if told.family.name == "gpt2" and options.activation not in GELUS:
        raise BundleError(f"A GGUF file of GPT-2's shape has one of {listed(GELUS)}", options.activation, do)


def _tensors(told: Told, gguf: Any) -> dict[str, Array]:
    """llama.cpp's name → weights, dense layers as (out, in)."""
    architecture = ARCHITECTURES[told.family.name]
    kind = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, told.network.options.layers)
    turned = {
        told.family.prefix + name
        for weight in told.family.weights(told.network) if weight.form == "transposed" for name in weight.foreign
    }  # fmt: skip
    found = {}
    for name, tensor in told.tensors.items():
        value = tensor.float().numpy()
        value = np.ascontiguousarray(value.T) if name in turned else value
        if architecture == "llama":
            value = _interleaved(name, value, told.network)
        found[names.get_name(name, (".weight", ".bias"))] = value
    positions = told.network.options.positions
    if isinstance(positions, RotaryPositionsSpec) and isinstance(positions.scaling, Llama3ScalingSpec):
        found["rope_freqs.weight"] = _slowing(told.network, positions.theta, positions.scaling)
    return found


def _interleaved(name: str, value: Array, network: Network) -> Array:
    """Queries and keys whose pairs (i, i + dim/2) stand side by side, as llama.cpp turns them for Llama alone."""
    heads = {"q_proj": network.options.heads, "k_proj": network.options.kv_heads or network.options.heads}
    count = next((count for part, count in heads.items() if f".{part}." in name), None)
    if count is None:
        return value
    pairs = value.reshape(count, 2, value.shape[0] // count // 2, *value.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(value.shape))


def _slowing(network: Network, theta: float, scaling: Llama3ScalingSpec) -> Array:
    """How many times each pair is turned more slowly than without scaling."""
    head_dim = network.options.head_dim or network.dim // network.options.heads
    rates = 1.0 / theta ** (torch.arange(0, head_dim, 2).float() / head_dim)
    found: Array = (rates / scaling.rates(rates)).numpy()
    return found


def _kind_of(name: str, value: Array, kind: Any, gguf: Any) -> Any:
    """The number format of one tensor: vectors stay whole, and rows that blocks of 32 do not fill are halved."""
    if value.ndim == 1 or name in WHOLE:
        return gguf.GGMLQuantizationType.F32
    is_whole = kind != gguf.GGMLQuantizationType.Q8_0 or value.shape[-1] % QUANTIZED_ROW == 0
    return kind if is_whole else gguf.GGMLQuantizationType.F16


def _add_options(writer: Any, network: Network, field: TokenField, gguf: Any) -> None:
    options = network.options
    head_dim = options.head_dim or network.dim // options.heads
    writer.add_context_length(network.places or field.max_tokens)
    writer.add_embedding_length(network.dim)
    writer.add_block_count(options.layers)
    writer.add_feed_forward_length(round(options.feed_forward * network.dim))
    writer.add_head_count(options.heads)
    writer.add_head_count_kv(options.kv_heads or options.heads)
    writer.add_vocab_size(network.vocab)
    if not isinstance(options.positions, RotaryPositionsSpec):
        writer.add_layer_norm_eps(options.norm_eps)
        return
    writer.add_layer_norm_rms_eps(options.norm_eps)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(options.positions.theta)
    if isinstance(options.positions.scaling, LinearScalingSpec):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(options.positions.scaling.factor)


def _add_tokens(writer: Any, field: TokenField, vocab: int, gguf: Any) -> None:
    """The byte pairs of a tokenizer; no token is put before a prompt, as Ceiba puts none.

    Raises: BundleError for a tokenizer that llama.cpp has no counterpart of.
    """
    trained = json.loads(field.trained)
    model, added = trained["model"], {one["id"]: one for one in trained["added_tokens"]}
    cut = cut_of(trained)
    named = {id: token for token, id in model["vocab"].items()} | {id: one["content"] for id, one in added.items()}
    kinds = gguf.TokenType
    types = [
        kinds.UNUSED if id not in named
        else kinds.NORMAL if id not in added
        else kinds.CONTROL if added[id]["special"] else kinds.USER_DEFINED
        for id in range(vocab)
    ]  # fmt: skip
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list([named.get(id, f"[PAD{id}]") for id in range(vocab)])
    writer.add_token_types(types)
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in model["merges"]])
    special = {role: id - field.shift for role, id in field.special.items()}
    # Without these, llama.cpp ends a text at the token 11.
    end = special.get("end", special.get("padding", 0))
    for role, id in {"begin": end, **special, "end": end}.items():
        if role in TOKEN_IDS:
            getattr(writer, f"add_{TOKEN_IDS[role]}_token_id")(id)
    writer.add_add_bos_token(False)
    if not field.shift:
        writer.add_array(SUPPRESSED, [0])  # padding, which Ceiba never answers
    if field.chat_template is not None:
        writer.add_chat_template(field.chat_template)


def cut_of(trained: Mapping[str, Any]) -> str:
    """llama.cpp's name for how a text is cut before bytes are paired. Raises: BundleError where it has none."""
    model, steps, normalizer = trained["model"], trained["pre_tokenizer"] or {}, trained["normalizer"] or {}
    is_pairs = model["type"] == "BPE" and not model.get("byte_fallback")
    name = None
    if steps.get("type") == "ByteLevel" and BYTES_OF_GPT2.items() <= steps.items():
        name = "gpt-2"
    elif steps.get("type") == "Sequence" and steps["pretokenizers"][0]["type"] == "Split":
        name = SPLITS.get(steps["pretokenizers"][0]["pattern"].get("Regex", ""))
    is_known = is_pairs and name is not None and normalizer.get("type", "NFC") == "NFC"
    if not is_known or bool(model.get("ignore_merges")) != (name == "llama-bpe"):
        raise BundleError(
            "A GGUF file holds a tokenizer of byte pairs as GPT-2, Llama 3 or Qwen cut them",
            f"{model['type']}, {normalizer.get('type', 'no normalizer')}", "Train with tokenizer: bpe",
        )  # fmt: skip
    assert name is not None
    return name


def _check(path: Path, tensors: Mapping[str, Array], rounding: float, gguf: Any) -> None:
    """Read what was written. Raises: BundleError if it is not the same."""
    found = {one.name: gguf.dequantize(one.data, one.tensor_type) for one in gguf.GGUFReader(path).tensors}
    wrong = set(tensors) ^ set(found)
    for name in set(tensors) - wrong:
        value, again = tensors[name], found[name].reshape(tensors[name].shape)
        most = rounding * np.abs(value).max(-1, keepdims=True)
        if not (np.abs(value - again) <= most).all():
            wrong.add(name)
    if wrong:
        raise BundleError("A GGUF file must hold the weights", f"others for {listed(sorted(wrong))}", "Use weights f32")
