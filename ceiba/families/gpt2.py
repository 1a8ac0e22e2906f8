"""GPT-2: a causal Transformer with learnt places."""

from collections.abc import Mapping
from typing import Any

from ceiba.families.bert import hidden_act
from ceiba.families.family import Family, Form, Network, Weight, activation_of, refuse
from ceiba.layers import TransformerOptions

DENSE = {
    "attention.query_key_value": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "feed_forward.0": "mlp.c_fc",
    "feed_forward.3": "mlp.c_proj",
}
NORMS = {"norm_1": "ln_1", "norm_2": "ln_2"}


def read(config: Mapping[str, Any]) -> Network:
    """config.json → network."""
    refuse(config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    dim = int(config["n_embd"])
    options = TransformerOptions(
        layers=config["n_layer"], heads=config["n_head"], causal=True,
        feed_forward=(config.get("n_inner") or 4 * dim) / dim, init="normal",
        activation=activation_of({"activation_function": "gelu_new", **config}, "activation_function"),
        norm_eps=config.get("layer_norm_epsilon", 1e-5), dropout=config.get("resid_pdrop", 0.1),
        attention_dropout=config.get("attn_pdrop", 0.1),
    )  # fmt: skip
    return Network(
        "gpt2", dim, int(config["vocab_size"]), options, int(config["n_positions"]),
        is_tied=bool(config.get("tie_word_embeddings", True)),
    )  # fmt: skip


def write(network: Network) -> dict[str, Any]:
    """Network → config.json."""
    options = network.options
    return {
        "n_embd": network.dim, "n_layer": options.layers, "n_head": options.heads, "n_positions": network.places,
        "n_inner": round(options.feed_forward * network.dim), "activation_function": hidden_act(options),
        "layer_norm_epsilon": options.norm_eps, "resid_pdrop": options.dropout, "embd_pdrop": options.dropout,
        "attn_pdrop": options.attention_dropout, "vocab_size": network.vocab,
        "tie_word_embeddings": network.is_tied,
    }  # fmt: skip


def weights(network: Network) -> list[Weight]:
    """Dense layers are kept transposed (Conv1D)."""
    found = [
        Weight("encoder.embedding.table.weight", ("wte.weight",), "table"),
        Weight("encoder.positions.table", ("wpe.weight",), "places"),
    ]
    if not network.is_tied:
        found.append(Weight("head.linear.weight", ("lm_head.weight",), "table"))
    for end in ("weight", "bias"):
        found.append(Weight(f"trunk.transformer.norm.{end}", (f"ln_f.{end}",)))
        for place in range(network.options.layers):
            own = f"trunk.transformer.blocks.{place}"
            found += [Weight(f"{own}.{mine}.{end}", (f"h.{place}.{other}.{end}",)) for mine, other in NORMS.items()]
            form: Form = "transposed" if end == "weight" else "same"
            found += [
                Weight(f"{own}.{mine}.{end}", (f"h.{place}.{other}.{end}",), form) for mine, other in DENSE.items()
            ]
    return found


GPT2 = Family("gpt2", "GPT2Model", "transformer.", read, write, weights, "GPT2LMHeadModel")
