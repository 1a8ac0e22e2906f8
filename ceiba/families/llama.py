"""Llama, Mistral, Qwen 2 and 3: causal Transformers with rotary places, RMS norms and gated feed-forward parts."""

from collections.abc import Callable, Mapping
from typing import Any

from ceiba.base.errors import RecipeError
from ceiba.families.family import Family, Network, Weight, refuse
from ceiba.layers import RotaryPositionsSpec, TransformerOptions

ATTENTION = ("q_proj", "k_proj", "v_proj")
SLIDING = "sliding_attention"


def rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """The places of a configuration, in its present form (rope_parameters) or the older one (rope_theta,
    rope_scaling)."""
    told = config.get("rope_parameters") or {
        **(config.get("rope_scaling") or {}),
        "rope_theta": config.get("rope_theta"),
    }
    kind = told.get("rope_type", told.get("type", "default"))
    theta = float(told.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    scaling: dict[str, Any] | None = None
    if kind == "linear":
        scaling = {"type": "linear", "factor": told["factor"]}
    elif kind == "llama3":
        scaling = {
            "type": "llama3", "factor": told["factor"], "low": told["low_freq_factor"],
            "high": told["high_freq_factor"], "places": told["original_max_position_embeddings"],
        }  # fmt: skip
    elif kind != "default":
        raise RecipeError("config.json rope_type must be default, linear or llama3", kind, "This variant has no map")
    return {"type": "rotary", "theta": theta, "scaling": scaling}


def rope_parameters(positions: RotaryPositionsSpec) -> dict[str, Any]:
    """The same the other way."""
    scaling = None if positions.scaling is None else positions.scaling.model_dump()
    told: dict[str, Any] = {"rope_type": "default", "rope_theta": positions.theta}
    if scaling is None:
        return told
    if scaling["type"] == "linear":
        return {**told, "rope_type": "linear", "factor": scaling["factor"]}
    return {
        **told, "rope_type": "llama3", "factor": scaling["factor"], "low_freq_factor": scaling["low"],
        "high_freq_factor": scaling["high"], "original_max_position_embeddings": scaling["places"],
    }  # fmt: skip


def window_of(config: Mapping[str, Any], family: str) -> int | None:
    """Tokens that a token sees; all blocks must be alike."""
    kinds = set(config.get("layer_types") or ())
    is_used = family == "mistral" if not kinds else SLIDING in kinds
    if family.startswith("qwen") and not config.get("use_sliding_window"):
        is_used = False
    if is_used and len(kinds) > 1:
        raise RecipeError("config.json layer_types must be one kind in all blocks", sorted(kinds), "It has no map")
    window = config.get("sliding_window") if is_used else None
    return None if window is None else int(window)


def reader(family: str) -> Callable[[Mapping[str, Any]], Network]:
    """config.json → network."""

    def read(config: Mapping[str, Any]) -> Network:
        refuse(config, hidden_act="silu")
        dim, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        own = {"llama": ("query_key_value", "out"), "qwen3": ("query_key_value", "out"), "qwen2": ("query_key_value",)}
        biased = family == "qwen2" or bool(config.get("attention_bias", False))
        bias = (own.get(family, ()) if biased else ()) + (("feed_forward",) if config.get("mlp_bias") else ())
        options = TransformerOptions(
            layers=config["num_hidden_layers"], heads=heads, kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or dim // heads, feed_forward=config["intermediate_size"] / dim,
            activation="swiglu", norm="rms", norm_eps=config.get("rms_norm_eps", 1e-6), qk_norm=family == "qwen3",
            positions=rotary(config), bias=bias or False, causal=True, window=window_of(config, family), dropout=0.0,
            attention_dropout=config.get("attention_dropout", 0.0), init="normal",
        )  # fmt: skip
        return Network(
            family, dim, int(config["vocab_size"]), options, is_tied=bool(config.get("tie_word_embeddings", False))
        )

    return read


def write(network: Network) -> dict[str, Any]:
    """Network → config.json, whose family says the rest."""
    options = network.options
    head_dim = options.head_dim or network.dim // options.heads
    biased = {part for part in ("query_key_value", "out", "feed_forward") if options.has_bias(part)}
    config = {
        "hidden_size": network.dim, "num_hidden_layers": options.layers, "num_attention_heads": options.heads,
        "num_key_value_heads": options.kv_heads or options.heads, "head_dim": head_dim,
        "intermediate_size": round(options.feed_forward * network.dim), "hidden_act": "silu",
        "rms_norm_eps": options.norm_eps, "attention_dropout": options.attention_dropout,
        "vocab_size": network.vocab, "tie_word_embeddings": network.is_tied, "attention_bias": "out" in biased,
        "mlp_bias": "feed_forward" in biased,
    }  # fmt: skip
    if isinstance(options.positions, RotaryPositionsSpec):
        config["rope_parameters"] = rope_parameters(options.positions)
    if options.window is not None:
        kinds = [SLIDING] * options.layers
        config |= {"sliding_window": options.window, "use_sliding_window": True, "layer_types": kinds}
        config["max_window_layers"] = 0
    elif network.family == "mistral":
        config["sliding_window"] = None
    return config


def weights(network: Network) -> list[Weight]:
    """Queries, keys and values in one matrix, as are the gate and what it gates."""
    found = [
        Weight("encoder.embedding.table.weight", ("embed_tokens.weight",), "table"),
        Weight("trunk.transformer.norm.weight", ("norm.weight",)),
    ]
    if not network.is_tied:
        found.append(Weight("head.linear.weight", ("lm_head.weight",), "table"))
    options = network.options
    for place in range(options.layers):
        own, other = f"trunk.transformer.blocks.{place}", f"layers.{place}"
        found.append(Weight(f"{own}.norm_1.weight", (f"{other}.input_layernorm.weight",)))
        found.append(Weight(f"{own}.norm_2.weight", (f"{other}.post_attention_layernorm.weight",)))
        if options.qk_norm:
            found.append(Weight(f"{own}.attention.query_norm.weight", (f"{other}.self_attn.q_norm.weight",)))
            found.append(Weight(f"{own}.attention.key_norm.weight", (f"{other}.self_attn.k_norm.weight",)))
        for end in ("weight", "bias"):
            if end == "weight" or options.has_bias("query_key_value"):
                names = tuple(f"{other}.self_attn.{part}.{end}" for part in ATTENTION)
                found.append(Weight(f"{own}.attention.query_key_value.{end}", names, "rows"))
            if end == "weight" or options.has_bias("out"):
                found.append(Weight(f"{own}.attention.out.{end}", (f"{other}.self_attn.o_proj.{end}",)))
            if end == "weight" or options.has_bias("feed_forward"):
                names = (f"{other}.mlp.gate_proj.{end}", f"{other}.mlp.up_proj.{end}")
                found.append(Weight(f"{own}.feed_forward.0.{end}", names, "rows"))
                found.append(Weight(f"{own}.feed_forward.3.{end}", (f"{other}.mlp.down_proj.{end}",)))
    return found


def family(name: str, title: str) -> Family:
    """One of the four."""
    return Family(name, f"{title}Model", "model.", reader(name), write, weights, f"{title}ForCausalLM")


LLAMA, MISTRAL = family("llama", "Llama"), family("mistral", "Mistral")
QWEN2, QWEN3 = family("qwen2", "Qwen2"), family("qwen3", "Qwen3")
