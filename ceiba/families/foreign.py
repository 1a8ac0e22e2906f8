"""Families that Ceiba's layers have no map for: the package transformers builds them as encoders."""

from typing import Any

from torch import Tensor

from ceiba.base.errors import DataError, listed
from ceiba.base.optional import require
from ceiba.families.folder import Folder, read_json
from ceiba.layers import FOREIGN

LEFT_OUT = ("auto_map", "_name_or_path", "transformers_version", "architectures", "torch_dtype", "dtype")
"""Keys of config.json that describe no network."""
PREPROCESSOR = "preprocessor_config.json"
GREY = 0.5
LACKING = ("missing_keys", "mismatched_keys")


def foreign_encoder(folder: Folder) -> dict[str, Any]:
    """The options of the encoder."""
    config = {key: value for key, value in folder.config.items() if key not in LEFT_OUT}
    options: dict[str, Any] = {"type": "transformers", "config": config}
    if FOREIGN[config["model_type"]].kind == "image":
        told = _preprocessor(folder)
        for own, key in (("mean", "image_mean"), ("std", "image_std")):
            options[own] = [255 * float(value) for value in told.get(key) or [GREY] * 3]
    return options


def image_options(folder: Folder) -> dict[str, Any] | None:
    """Size and mode of the images that it takes; None for texts."""
    if FOREIGN[folder.config["model_type"]].kind != "image":
        return None
    size = _preprocessor(folder).get("size") or {}
    side = size.get("height") or size.get("shortest_edge") if isinstance(size, dict) else size
    side = int(folder.config.get("image_size") or side or 224)
    return {"size": [side, side], "mode": "color" if folder.config.get("num_channels", 3) == 3 else "grey"}


def _preprocessor(folder: Folder) -> dict[str, Any]:
    path = folder.path / PREPROCESSOR
    return read_json(path) if path.is_file() else {}


def foreign_network_weights(folder: Folder) -> dict[str, Tensor]:
    """The network's own names → the folder's weights, read by the package that names them anew from time to time.

    Raises: DataError for a weight that is missing or has another shape; MissingPackage without transformers.
    """
    package, family = require("transformers", "hf", "read a pre-trained network"), FOREIGN[folder.config["model_type"]]
    assert folder.files  # safetensors alone are read
    logs = package.logging
    before, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()  # what is lacking is told below, in one line
    logs.disable_progress_bar()
    try:
        model, told = getattr(package, family.architecture).from_pretrained(
            str(folder.path), output_loading_info=True, ignore_mismatched_sizes=True, use_safetensors=True,
            local_files_only=True, trust_remote_code=False, **family.options,
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        problem = str(error).strip().splitlines()[0][:200]
        raise DataError(f"{folder.path} must hold a network in one piece", problem, "Download it again") from error
    finally:
        logs.set_verbosity(before)
        if bars:
            logs.enable_progress_bar()
    net = getattr(model, family.part) if family.part else model
    wrong = {str(name[0] if isinstance(name, tuple) else name) for key in LACKING for name in told.get(key) or ()}
    names = set(net.state_dict())
    if lacking := sorted(name for name in wrong if name.removeprefix(f"{family.part}.") in names):
        rule = f"{folder.path} must hold all weights as config.json has them"
        raise DataError(rule, f"others for {listed(lacking)}", "Download it again")
    return dict(net.state_dict())
