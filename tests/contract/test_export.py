"""Every encoder, trunk and head through the export gate: other batch sizes, other lengths, batch one, padding.

One model holds many encoders, each a group of its own, and all heads: what one of them got wrong would be seen in every
answer. Encoders that limit a row's length, and ensembles, stand apart. bench/parity.py tries each with each alone.
"""

from dataclasses import replace

import pytest
import torch
from networks import IMAGE, KNOBS, NGRAMS, TABLE, TEXT, WORDS

from ceiba.base.errors import CeibaError
from ceiba.encoders import ENCODERS
from ceiba.export import check_parity, onnx_bytes, probes
from ceiba.fields import Layout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, TorchBackend, build_model
from ceiba.predict import OnnxBackend
from ceiba.trunks import TRUNKS

OUTPUTS = {
    "regression": OutputLayout("number", mean=2.0, std=1.5),
    "binary": OutputLayout("binary", 2, (30, 10)),
    "classes": OutputLayout("classes", 3, (10, 20, 30)),
    "labels": OutputLayout("labels", 4, (1, 2, 3, 4)),
}
"""The heads that answer a row at once, and what each answers."""
LAYOUTS: dict[str, Layout] = {"table": TABLE, "text": TEXT, "image": IMAGE, "words": WORDS}
SMALL = {"layers": 1, "width": 8, "heads": 2, "members": 3, "channels": 8}
"""Knobs that make an encoder quick to export, where it has them."""
ENSEMBLES, POSITIONS = {"table tabm"}, {"text transformer"}


def encoders_of(names: list[str]) -> tuple[dict[str, object], dict[str, Layout]]:
    encoders, layouts = {}, {}
    for name in names:
        kind, one = name.split(" ")
        spec = ENCODERS[kind][one]
        knobs = {key: value for key, value in SMALL.items() if key in spec.model_fields}
        if isinstance(spec.model_fields.get("channels", None) and spec().channels, tuple):
            knobs["channels"] = tuple(8 for _ in spec().channels)
        encoders[name] = spec(**knobs, **KNOBS.get((kind, one), {}))
        layouts[name] = NGRAMS if one == "bag" else LAYOUTS[kind]
    return encoders, layouts


ALL = [f"{kind} {name}" for kind, catalog in ENCODERS.items() for name in catalog]
MODERN = {
    "type": "transformer", "layers": 1, "heads": 4, "kv_heads": 2, "causal": True, "positions": "rotary", "window": 4,
    "norm": "rms", "activation": "swiglu", "qk_norm": True,
}  # fmt: skip
CAUSAL = {"type": "transformer", "layers": 1, "heads": 2, "causal": True, "positions": "sinusoidal"}
CASES: dict[str, tuple[list[str], str | dict[str, object]]] = {
    "causal, rotary, grouped heads, a window": (["text mean", "text gru"], MODERN),
    "causal, sinusoidal": (["text transformer"], CAUSAL),
    "all, transformer": ([name for name in ALL if name not in ENSEMBLES | POSITIONS], "transformer"),
    "positions, transformer": (sorted(POSITIONS), "transformer"),
    "ensembles, mlp": (sorted(ENSEMBLES), "mlp"),
    "time and table, none": (["text lstm"], "none"),
}


def model_of(names: list[str], trunk: str | dict[str, object]) -> tuple[Model, dict[str, Layout]]:
    encoders, layouts = encoders_of(names)
    heads = {name: HEADS[name]() for name in OUTPUTS}
    trunk = {"type": trunk, "layers": 1, "heads": 2} if trunk == "transformer" else trunk
    return built(ModelSpec(dim=16, encoders=encoders, trunk=trunk, heads=heads), layouts, OUTPUTS), layouts


def built(spec: ModelSpec, layouts: dict[str, Layout], outputs: dict[str, OutputLayout]) -> Model:
    model = build_model(spec, layouts, outputs, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    return model.eval()


def test_every_encoder_and_every_trunk_is_tried() -> None:
    assert {name for names, _ in CASES.values() for name in names} == set(ALL)
    assert {trunk for _, trunk in CASES.values() if isinstance(trunk, str)} == set(TRUNKS)


@pytest.mark.parametrize("case", CASES)
def test_the_exported_model_answers_alike_at_other_sizes(case: str) -> None:
    model, layouts = model_of(*CASES[case])
    exported = onnx_bytes(model, layouts)
    report = check_parity(TorchBackend(model), OnnxBackend(exported, 1), probes(layouts))
    assert set(report["worst"]) == set(OUTPUTS)
    sizes = {(case["rows"], case["tokens"]) for case in report["cases"] if "errors" in case}
    assert {rows for rows, _ in sizes} == {1, 2, 7, 64}
    if "ensembles" not in case:
        longest, longer = (64, 81) if any(name.startswith("words") for name in CASES[case][0]) else (12, 16)
        assert {tokens for _, tokens in sizes} >= {1, 3, longest}
        assert (64, longer) in sizes or POSITIONS & set(CASES[case][0])
    for wrong in (b"Loop", b"Scan"):
        assert wrong not in exported


PER_TOKEN: dict[str, tuple[Layout, str, str, OutputLayout]] = {
    "tags, lstm": (WORDS, "lstm", "tags", OutputLayout("tags", 5, (9, 8, 7, 6, 5))),
    "tags, gru": (WORDS, "gru", "tags", OutputLayout("tags", 5, (9, 8, 7, 6, 5))),
    "span, transformer": (replace(TEXT, places=True), "transformer", "span", OutputLayout("span")),
    "span, lstm": (replace(TEXT, places=True), "lstm", "span", OutputLayout("span")),
}
"""The heads that answer of tokens: what they read, an encoder, the head, and what it answers."""


@pytest.mark.parametrize("case", PER_TOKEN)
def test_what_answers_of_tokens_is_exported_and_a_fault_is_seen(case: str) -> None:
    layout, encoder, head, output = PER_TOKEN[case]
    layouts = {"row": layout}
    spec = ModelSpec(
        dim=16, encoders={"row": ENCODERS[layout.kind][encoder](layers=1)}, trunk="none", heads={"found": HEADS[head]()}
    )
    model = built(spec, layouts, {"found": output})
    exported = OnnxBackend(onnx_bytes(model, layouts), 1)
    report = check_parity(TorchBackend(model), exported, probes(layouts))
    sizes = {(one["rows"], one["tokens"], one["padding"]) for one in report["cases"] if "errors" in one}
    assert {rows for rows, _, _ in sizes} >= {1, 2, 7}
    assert {tokens for _, tokens, _ in sizes} >= {1, 3, 12 if head == "span" else 64}
    assert any(padding for _, _, padding in sizes)
    with torch.no_grad():
        model.head("found").linear.weight[0] += 0.01
    with pytest.raises(CeibaError, match="must answer as the original does"):
        check_parity(TorchBackend(model), exported, probes(layouts))
