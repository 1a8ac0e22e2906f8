"""The backend of exported models: onnxruntime."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import BundleError, MissingPackage, listed
from ceiba.base.optional import require
from ceiba.bundle import ONNX, Bundle
from ceiba.predict.parity import recheck

DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""The runtime's names of element types."""


PROVIDERS: dict[str, tuple[str, dict[str, str], str]] = {
    "cpu": ("CPUExecutionProvider", {}, "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}, "onnxruntime-gpu"),
}
"""Device → the runtime's name of what computes there, its options, and the package that holds it. TF32 would round
products to ten bits, which is not what was measured."""


TIDY_S = 10.0
"""After so long a run ends with giving back what the runtime's pool of memory does not need at the moment. It never
does so by itself: a server would hold the most that batches side by side ever took. At each run it would cost a quarter
more time, since all blocks would be mapped anew."""


class OnnxBackend:
    """An exported model as a callable from arrays to arrays. Threads of one session may call it at the same time."""

    def __init__(self, model: Path | bytes, threads: int = 0, device: str = "cpu"):
        """`threads` of one call; 0 = as many as the machine has cores. `device`: cpu, or cuda.

        Raises: BundleError for bytes that are no model; MissingPackage without onnxruntime, or where the installed one
            has not what computes on the device.
        """
        runtime = require("onnxruntime", "serve", "run an exported model")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model
        provider, settings, package = PROVIDERS[device]
        lacking = MissingPackage(
            f"To compute on the device {device}, onnxruntime must have its {provider}",
            f"only {listed(runtime.get_available_providers())}",
            f"Run: pip uninstall onnxruntime; pip install {package}; and see that the device's driver is there",
        )
        if provider not in runtime.get_available_providers():
            raise lacking
        providers = [(provider, settings)] if device == "cpu" else [(provider, settings), ("CPUExecutionProvider", {})]
        try:
            self.session = runtime.InferenceSession(source, options, providers=providers)
        except Exception as error:  # the runtime's own exceptions have no common base of their own
            problem = str(error).splitlines()[0][:200]
            raise BundleError(
                "the exported model must be readable by onnxruntime", problem, "Export it again"
            ) from error
        if provider not in self.session.get_providers():  # the runtime itself would go on without it, and only warn
            raise lacking
        self._tidying = runtime.RunOptions()
        self._tidying.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._tidied = time.monotonic()
        self.inputs = {entry.name: DTYPES.get(entry.type) for entry in self.session.get_inputs()}
        self.outputs = [entry.name for entry in self.session.get_outputs()]

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one batch; parts that the exported model does not read are passed over.

        Raises: BundleError if the model asks for a part that the fields do not give.
        """
        if missing := [name for name in self.inputs if name not in arrays]:
            raise BundleError(
                "the exported model must read the parts that the fields give", listed(missing), "Export it again"
            )
        feeds = {name: np.ascontiguousarray(arrays[name], dtype=dtype) for name, dtype in self.inputs.items()}
        now = time.monotonic()
        is_due = now - self._tidied > TIDY_S
        if is_due:
            self._tidied = now
        found = self.session.run(self.outputs, feeds, self._tidying if is_due else None)
        return dict(zip(self.outputs, found, strict=True))


def open_onnx(bundle: Bundle, threads: int = 0, device: str = "cpu") -> OnnxBackend:
    """A bundle served through onnxruntime, after a brief look that it still answers as when it was exported.

    Raises: BundleError if it was not exported, or answers otherwise on this machine.
    """
    model = bundle.onnx
    if model is None:
        raise BundleError(f"{bundle.folder} must hold {ONNX}", "no such file", "Run: ceiba export BUNDLE --to onnx")
    backend = OnnxBackend(model, threads, device)
    recheck(bundle, backend)
    return backend
