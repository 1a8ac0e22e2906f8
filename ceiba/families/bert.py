"""BERT, RoBERTa, DistilBERT (and what has their shape, such as MiniLM): a text encoder, norm last."""

from collections.abc import Callable, Mapping
from typing import Any

from ceiba.families.family import Family, Form, Network, Weight, activation_of, refuse
from ceiba.layers import TransformerOptions

BLOCK = {
    "attention.query_key_value": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.out": ("attention.output.dense",),
    "norm_1": ("attention.output.LayerNorm",),
    "feed_forward.0": ("intermediate.dense",),
    "feed_forward.3": ("output.dense",),
    "norm_2": ("output.LayerNorm",),
}
DISTILBERT_BLOCK = {
    "attention.query_key_value": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "attention.out": ("attention.out_lin",),
    "norm_1": ("sa_layer_norm",),
    "feed_forward.0": ("ffn.lin1",),
    "feed_forward.3": ("ffn.lin2",),
    "norm_2": ("output_layer_norm",),
}
ROBERTA_SKIPPED = 2
"""RoBERTa counts places from the id of its padding, 1, onward: the first two rows belong to no token."""


def reader(family: str, skipped: int = 0) -> Callable[[Mapping[str, Any]], Network]:
    """config.json of BERT or RoBERTa → network."""

    def read(config: Mapping[str, Any]) -> Network:
        refuse(config, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
        dim = int(config["hidden_size"])
        options = TransformerOptions(
            layers=config["num_hidden_layers"], heads=config["num_attention_heads"], norm_first=False,
            feed_forward=config["intermediate_size"] / dim, activation=activation_of(config, "hidden_act"),
            norm_eps=config.get("layer_norm_eps", 1e-12), dropout=config.get("hidden_dropout_prob", 0.1),
            attention_dropout=config.get("attention_probs_dropout_prob", 0.1), init="normal",
        )  # fmt: skip
        places = int(config["max_position_embeddings"]) - skipped
        return Network(family, dim, int(config["vocab_size"]), options, places, True, int(config["type_vocab_size"]))

    return read


def writer(skipped: int = 0) -> Callable[[Network], dict[str, Any]]:
    """Network → config.json of BERT or RoBERTa."""

    def write(network: Network) -> dict[str, Any]:
        options = network.options
        return {
            "hidden_size": network.dim, "num_hidden_layers": options.layers, "num_attention_heads": options.heads,
            "intermediate_size": round(options.feed_forward * network.dim), "hidden_act": hidden_act(options),
            "layer_norm_eps": options.norm_eps, "hidden_dropout_prob": options.dropout, "vocab_size": network.vocab,
            "attention_probs_dropout_prob": options.attention_dropout, "type_vocab_size": network.segments,
            "max_position_embeddings": (network.places or 0) + skipped,
        }  # fmt: skip

    return write


def hidden_act(options: TransformerOptions) -> str:
    """The activation as transformers calls it."""
    return "gelu_new" if options.activation == "gelu_tanh" else options.activation


def read_distilbert(config: Mapping[str, Any]) -> Network:
    """config.json of DistilBERT → network."""
    dim = int(config["dim"])
    options = TransformerOptions(
        layers=config["n_layers"], heads=config["n_heads"], norm_first=False, feed_forward=config["hidden_dim"] / dim,
        activation=activation_of(config, "activation"), norm_eps=1e-12, dropout=config.get("dropout", 0.1),
        attention_dropout=config.get("attention_dropout", 0.1), init="normal",
    )  # fmt: skip
    return Network("distilbert", dim, int(config["vocab_size"]), options, int(config["max_position_embeddings"]), True)


def write_distilbert(network: Network) -> dict[str, Any]:
    """Network → config.json of DistilBERT."""
    options = network.options
    return {
        "dim": network.dim, "n_layers": options.layers, "n_heads": options.heads, "vocab_size": network.vocab,
        "hidden_dim": round(options.feed_forward * network.dim), "activation": hidden_act(options),
        "dropout": options.dropout, "attention_dropout": options.attention_dropout,
        "max_position_embeddings": network.places,
    }  # fmt: skip


def mapper(layers: str, block: Mapping[str, tuple[str, ...]], skipped: int = 0) -> Callable[[Network], list[Weight]]:
    """The weights of a network whose blocks are named below `layers`."""

    def weights(network: Network) -> list[Weight]:
        found = [
            Weight("encoder.embedding.table.weight", ("embeddings.word_embeddings.weight",), "table"),
            Weight("encoder.positions.table", ("embeddings.position_embeddings.weight",), "places", skipped),
        ]
        if network.segments:
            found.append(Weight("encoder.segments.weight", ("embeddings.token_type_embeddings.weight",)))
        for end in ("weight", "bias"):
            found.append(Weight(f"encoder.norm.{end}", (f"embeddings.LayerNorm.{end}",)))
            for place in range(network.options.layers):
                for own, parts in block.items():
                    foreign = tuple(f"{layers}.{place}.{part}.{end}" for part in parts)
                    form: Form = "rows" if len(parts) > 1 else "same"
                    found.append(Weight(f"encoder.transformer.blocks.{place}.{own}.{end}", foreign, form))
        return found

    return weights


BERT = Family("bert", "BertModel", "bert.", reader("bert"), writer(), mapper("encoder.layer", BLOCK))
ROBERTA = Family(
    "roberta", "RobertaModel", "roberta.", reader("roberta", ROBERTA_SKIPPED), writer(ROBERTA_SKIPPED),
    mapper("encoder.layer", BLOCK, ROBERTA_SKIPPED),
)  # fmt: skip
DISTILBERT = Family(
    "distilbert", "DistilBertModel", "distilbert.", read_distilbert, write_distilbert,
    mapper("transformer.layer", DISTILBERT_BLOCK),
)  # fmt: skip
