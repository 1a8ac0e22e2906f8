"""`ceiba doctor`: what is installed, and what this machine can do, measured."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ceiba import __version__
from ceiba.base.optional import require
from ceiba.cli import resolve
from ceiba.cli.words import finish, table, words

PACKAGES = (
    "numpy", "pyarrow", "pydantic", "onnxruntime", "tokenizers", "pillow", "safetensors", "torch", "scikit-learn",
    "onnx", "onnxscript", "transformers", "optuna", "polars", "pandas",
)  # fmt: skip
FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "neon",
    "asimd",
    "bf16",
    "i8mm",
    "sve",
)


def main(arguments: list[str]) -> int:
    """Print versions, processor features, accelerators and the peak of a large matrix product in each number format."""
    given = words("doctor", "Say what is installed and what this machine can do.").parse_args(arguments)
    figures: dict[str, Any] = {
        "ceiba": __version__, "python": platform.python_version(), "cores": os.cpu_count(), "features": cpu_features(),
        "packages": {name: installed(name) for name in PACKAGES}, "peak_gflops": {}, "accelerator": None,
    }  # fmt: skip
    if find_spec("torch") is not None:
        torch = require("torch", "train", "measure this machine")
        peak = resolve("ceiba.train.sight:peak_flops")
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        figures["peak_gflops"] = {name: peak(torch.device("cpu"), kind) / 1e9 for name, kind in kinds.items()}
        figures["accelerator"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    rows = [["ceiba", __version__], ["python", figures["python"]], ["cores", str(figures["cores"])]]
    rows += [["features", " ".join(figures["features"]) or "-"], ["accelerator", figures["accelerator"] or "none"]]
    rows += [[f"peak {name}", f"{value:,.0f} GFLOP/s measured"] for name, value in figures["peak_gflops"].items()]
    rows += [[name, found or "not installed"] for name, found in figures["packages"].items()]
    print(table(["what", "here"], rows))
    return finish(given.json, figures)


def installed(name: str) -> str | None:
    """The version of a package, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_features() -> list[str]:
    """The instruction sets that matter for networks, where the system tells."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return []
    return [feature for feature in FEATURES if feature in flags]
