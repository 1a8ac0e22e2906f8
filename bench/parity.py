"""Every encoder × trunk with all heads that do not write, each by itself through the export gate: the largest relative
error at batches of 1, 2, 7 and 64 rows, of one token, few, the longest and longer. `python -m bench.parity [KIND]`;
minutes."""

import sys
import time

import torch

from ceiba.base.errors import CeibaError
from ceiba.encoders import ENCODERS
from ceiba.export import check_parity, onnx_bytes, probes
from ceiba.fields import ImageLayout, Layout, TableLayout, TextLayout, WordsLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import ModelSpec, TorchBackend, build_model
from ceiba.predict import OnnxBackend
from ceiba.trunks import TRUNKS

OUTPUTS = {
    "regression": OutputLayout("number", mean=2.0, std=1.5),
    "binary": OutputLayout("binary", 2, (30, 10)),
    "classes": OutputLayout("classes", 3, (10, 20, 30)),
    "labels": OutputLayout("labels", 4, (1, 2, 3, 4)),
}
PER_TOKEN = {"words": ("tags", OutputLayout("tags", 5, (5, 4, 3, 2, 1))), "text": ("span", OutputLayout("span"))}
"""Kind of the rows → a head that answers of tokens, beside the others."""
LAYOUTS: dict[str, Layout] = {
    "table": TableLayout(("a", "b", "c", "d"), 2, (5, 7), ((-1.0, 0.0, 1.0, 2.0), ())),
    "text": TextLayout(30, 12, weighted=False, places=True),
    "words": WordsLayout(30, 20, 8),
    "image": ImageLayout(9, 6, 3, (10.0, 20.0, 30.0), (5.0, 0.0, 50.0)),
}
CONFIGS = {
    "text": {
        "model_type": "t5", "vocab_size": 30, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
        "pad_token_id": 0,
    },
    "image": {
        "model_type": "resnet", "num_channels": 3, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1],
        "layer_type": "basic",
    },
}  # fmt: skip
"""Networks of the package transformers, small ones."""


def main() -> None:
    """A line for each encoder and trunk."""
    wanted, worst = sys.argv[1:] or list(ENCODERS), 0.0
    for kind in wanted:
        for name, encoder in ENCODERS[kind].items():
            for trunk in TRUNKS:
                layout = TextLayout(40, 12, weighted=True, places=True) if name == "bag" else LAYOUTS[kind]
                outputs = OUTPUTS | dict([PER_TOKEN[kind]] if kind in PER_TOKEN else [])
                began = time.perf_counter()
                try:
                    heads = {name: HEADS[name]() for name in outputs}
                    own = encoder(config=CONFIGS[kind]) if name == "transformers" else encoder()
                    spec = ModelSpec(dim=16, encoders={"in": own}, trunk=trunk, heads=heads)
                    model = build_model(spec, {"in": layout}, outputs, 1).eval()
                    with torch.no_grad():
                        for one in model.parameters():
                            one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
                    exported = OnnxBackend(onnx_bytes(model, {"in": layout}), 1)
                    report = check_parity(TorchBackend(model), exported, probes({"in": layout}))
                except CeibaError as error:
                    print(f"{kind} {name}, {trunk}: {error}", flush=True)
                    continue
                largest = max(report["worst"].values())
                worst = max(worst, largest)
                tried = sum("errors" in case for case in report["cases"])
                seconds = time.perf_counter() - began
                print(f"{kind} {name}, {trunk}: {largest:.1e} over {tried} sizes, {seconds:.1f} s", flush=True)
    print(f"largest relative error {worst:.1e}")


if __name__ == "__main__":
    main()
