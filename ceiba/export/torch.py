"""Export to torch: a program that plain torch runs, without Ceiba."""

import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim
from torch.export._patches import register_gru_while_loop_decomposition, register_lstm_while_loop_decomposition

from ceiba.base.files import write_bytes, write_folder, write_json
from ceiba.bundle import PARITY, Bundle
from ceiba.export.graph import Answering, axes_of, quietly, refuse_writing, unexportable
from ceiba.export.parity import check_parity, parity_report
from ceiba.export.probes import encoded_rows, example_parts, probes
from ceiba.model import TorchBackend, open_model
from ceiba.predict import Predictor

PROGRAM = "model.pt2"
SIGNATURE = "signature.json"


class ProgramBackend:
    """An exported program as a callable from arrays to arrays.

    Guards are not checked: torch adds some that forbid a batch of one, which the gate shows to be right.
    """

    def __init__(self, file: io.BytesIO):
        with quietly():
            self.module = torch.export.load(file).module(check_guards=False)

    @torch.inference_mode()
    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        tensors = {name: torch.from_numpy(np.array(part)) for name, part in inputs.items()}
        return {name: logits.numpy() for name, logits in self.module(inputs=tensors).items()}


def program_bytes(model: Any, layouts: Mapping[str, Any]) -> bytes:
    """The model in evaluation mode as a saved `torch.export` program with open batch and token axes.

    Raises: CeibaError for a network that cannot be exported, and why.
    """
    refuse_writing(model)
    inputs = {name: torch.from_numpy(part) for name, part in example_parts(layouts).items()}
    shapes = {name: dict.fromkeys(axes_of(name), Dim.DYNAMIC) for name in inputs}
    file = io.BytesIO()
    with (
        quietly(),
        register_lstm_while_loop_decomposition(),  # recurrent nets as a loop, not unrolled at the example's length
        register_gru_while_loop_decomposition(),
        torch.fx.experimental._config.patch(backed_size_oblivious=True),  # type: ignore[attr-defined]
    ):
        try:
            module = Answering(model.eval())
            program = torch.export.export(module, (), {"inputs": inputs}, dynamic_shapes={"inputs": shapes})
        except Exception as error:  # the exporter's errors have no common base
            raise unexportable(error) from error
        torch.export.save(program, file)
    return file.getvalue()


def signature_of(bundle: Bundle, model: Any, layouts: Mapping[str, Any]) -> dict[str, Any]:
    """What goes in and what comes out: names, types, axes, and how the answers are read."""
    inputs = {
        name: {
            "dtype": str(part.dtype),
            "shape": [axes_of(name).get(axis, size) for axis, size in enumerate(part.shape)],
        }
        for name, part in example_parts(layouts).items()
    }
    return {"call": "torch.export.load('model.pt2').module(check_guards=False)(inputs={...})", "inputs": inputs,
            "outputs": bundle.answers, "parameters": model.num_parameters,
            "model": {name: asdict(output) for name, output in model.outputs.items()}}  # fmt: skip


def export_torch(bundle: Bundle, out: Path) -> dict[str, Any]:
    """Write a folder with a program for plain torch, its weights within, what it reads and answers, and its parity.

    Raises: CeibaError if the network cannot be exported or the export answers otherwise; InputError if `out` exists.
    """
    model = open_model(bundle)
    original = TorchBackend(model)
    predictor = Predictor.from_bundle(bundle, original)
    layouts = predictor.fields.layouts()
    exported = program_bytes(model, layouts)
    encoded = encoded_rows(bundle, predictor)
    found = check_parity(original, ProgramBackend(io.BytesIO(exported)), probes(layouts, encoded))
    real_rows = 0 if encoded is None else len(next(iter(encoded.values())))
    with write_folder(out) as folder:
        write_bytes(folder / PROGRAM, exported)
        write_json(folder / SIGNATURE, signature_of(bundle, model, layouts))
        write_json(folder / PARITY, parity_report(found, real_rows, "the eager network in torch"))
    return {"folder": str(out), "worst": found["worst"], "cases": len(found["cases"]), "real_rows": real_rows,
            "bytes": len(exported)}  # fmt: skip
