"""A model → an ONNX graph whose batch and token axes have names and no fixed length."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ceiba.base.errors import CeibaError, listed
from ceiba.base.optional import require
from ceiba.export.probes import RAGGED, example_parts
from ceiba.fields import Layout
from ceiba.model import Model

BATCH = "batch"
MOST_BYTES = 2**31 - 1
"""What one ONNX file can hold."""


class Answering(nn.Module):
    """What is exported: forward and the mean over members in one."""

    def __init__(self, model: Model):
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.model.answers(inputs)


def refuse_writing(model: Model) -> None:
    """Raises: CeibaError for a network that writes texts: a graph makes one pass, writing a search over many."""
    if written := [name for name in model.head_slots if model.head(name).writes]:
        got = f"'{written[0]}', a text that is written token by token"
        raise CeibaError("An exported model must answer in one pass", got, "Serve the trained bundle")


def axes_of(part: str) -> dict[int, str]:
    """The axes of an input that have no fixed length, and their names."""
    group, kind = part.rsplit(".", 1)
    return {0: BATCH, 1: f"{group}.tokens"} if kind in RAGGED else {0: BATCH}


@contextmanager
def quietly() -> Iterator[None]:
    """Export without the exporter's own talk, and without what an earlier export left behind.

    After one export of a recurrent net torch dispatches it to a form that freezes the time of the next one.
    """
    for operator in (torch.ops.aten.gru.input, torch.ops.aten.lstm.input):
        operator._dispatch_cache.clear()
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._export", "onnxscript")]
    before = [logger.level for logger in loggers]
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def plain_attention(model: nn.Module) -> Iterator[None]:
    """Networks of the package transformers attend by plain products meanwhile: of torch's kernel for attention the
    exporter keeps strides that its next step cannot read."""
    networks: list[Any] = [one for one in model.modules() if hasattr(one, "set_attn_implementation")]
    before = [one.config._attn_implementation for one in networks]
    for one in networks:
        one.set_attn_implementation("eager")
    try:
        yield
    finally:
        for one, own in zip(networks, before, strict=True):
            one.set_attn_implementation(own)


def onnx_bytes(model: Model, layouts: Mapping[str, Layout]) -> bytes:
    """The model in evaluation mode as one ONNX file; inputs are named as the fields name parts, outputs as targets.

    Raises: CeibaError for a network that cannot be exported, and why; MissingPackage without onnx.
    """
    refuse_writing(model)
    require("onnx", "train", "export a model")
    require("onnxscript", "train", "export a model")
    inputs = {name: torch.from_numpy(part) for name, part in example_parts(layouts).items()}
    # Not Dim.AUTO: it freezes an axis in silence where the graph cannot be had otherwise.
    shapes = {name: dict.fromkeys(axes_of(name), Dim.DYNAMIC) for name in inputs}
    with quietly(), plain_attention(model):
        try:
            program = torch.onnx.export(
                Answering(model.eval()), kwargs={"inputs": inputs}, dynamo=True, dynamic_shapes={"inputs": shapes},
                input_names=list(inputs), output_names=list(model.head_slots), external_data=False, verbose=False,
            )  # fmt: skip
        except Exception as error:  # the exporter's errors have no common base
            raise unexportable(error) from error
        assert program is not None
        proto = program.model_proto
    named_axes(proto.graph, list(inputs), list(model.head_slots))
    strip(proto)
    if proto.ByteSize() > MOST_BYTES:
        raise CeibaError("model.onnx must have less than 2 GB", f"{proto.ByteSize():,} bytes", "Use --to torch")
    found: bytes = proto.SerializeToString()
    return found


def unexportable(error: BaseException) -> CeibaError:
    """Why a network cannot be exported, in one line: the innermost cause that says something."""
    while (within := error.__cause__ or error.__context__) is not None:
        error = within
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    problem = lines[0][:200] if lines else type(error).__name__
    return CeibaError("This network cannot be exported", problem, "Use another encoder, or serve it through torch")


def named_axes(graph: Any, inputs: list[str], outputs: list[str]) -> None:
    """Give inputs, outputs and their open axes the names that the bundle knows.

    Raises: CeibaError where an axis that must be open has a fixed length.
    """
    renamed = dict(zip([value.name for value in graph.input], inputs, strict=True))
    renamed |= dict(zip([value.name for value in graph.output], outputs, strict=True))
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    symbols: dict[str, str] = {}
    for value, name in zip(graph.input, inputs, strict=True):
        value.name = name
        for axis, label in axes_of(name).items():
            dim = value.type.tensor_type.shape.dim[axis]
            if not dim.dim_param:
                got = f"{dim.dim_value} in '{name}'"
                raise CeibaError(f"The axis {label} of an exported model must be open", got, "Use another encoder")
            symbols.setdefault(dim.dim_param, label)
            dim.dim_param = label
    frozen = []
    for value, name in zip(graph.output, outputs, strict=True):
        value.name = name
        dims = value.type.tensor_type.shape.dim
        for dim in dims:
            if dim.dim_param:
                dim.dim_param = symbols.get(dim.dim_param, dim.dim_param)
        if not dims or dims[0].dim_param != BATCH:
            frozen.append(name)
    if frozen:
        raise CeibaError("Every output of an exported model must have a row a row", listed(frozen), "Use another head")


def strip(proto: Any) -> None:
    """Leave out what no runtime reads: where each node came from, and shapes that hold the example's lengths."""
    del proto.graph.value_info[:]
    proto.graph.doc_string = ""
    for node in (*proto.graph.node, *(node for function in proto.functions for node in function.node)):
        node.doc_string = ""
        del node.metadata_props[:]
    for function in proto.functions:
        del function.value_info[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]
