"""Reading a foreign ONNX file: everything that it may not do is refused before a runtime sees it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import InputError, listed
from ceiba.base.files import digest
from ceiba.base.optional import require

Array = NDArray[Any]
OLDEST_OPSET = 7
"""The oldest version of the standard operators that onnxruntime promises to run."""
KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
NUMBERS = {
    1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16,
    11: np.float64,
}  # fmt: skip
"""ONNX's numbers of element types → numpy's."""
LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
CONTROL = (5, 10)
"""Attribute kinds that hold a graph, or several."""


@dataclass(frozen=True)
class Source:
    """A file that may be run: its model with all weights inside, and what each row of its inputs holds."""

    model: Any
    shapes: dict[str, tuple[int, ...]]
    """Input → the shape of one row."""
    dtypes: dict[str, Any]
    labels: tuple[str, ...]
    """The classes that the file names itself."""

    @property
    def widths(self) -> dict[str, int]:
        """Input → numbers a row."""
        return {name: prod(shape) for name, shape in self.shapes.items()}

    def split(self, numbers: Array) -> dict[str, Array]:
        """All numbers of some rows, side by side → what the file reads."""
        edges = np.cumsum([0, *self.widths.values()])
        return {
            name: numbers[:, start:stop].astype(self.dtypes[name]).reshape(len(numbers), *shape)
            for (name, shape), start, stop in zip(self.shapes.items(), edges[:-1], edges[1:], strict=True)
        }

    def about(self, path: Path) -> dict[str, Any]:
        """What a bundle remembers of the file."""
        opsets = {one.domain or "ai.onnx": one.version for one in self.model.opset_import}
        return {"file": path.name, "sha256": digest(path), "producer": self.model.producer_name, "opsets": opsets}


def read_onnx(path: Path) -> Source:
    """An ONNX file, checked: its form, its operators, its weights, its inputs.

    Raises: InputError naming what it does that a bundle does not.
    """
    onnx = require("onnx", "train", "import a model")
    if not path.is_file():
        raise InputError(f"{path} must be an ONNX file", "no such file", "Check the name")
    try:
        model = onnx.load(path, "protobuf", load_external_data=False)
    except Exception as error:  # protobuf's own
        raise InputError(f"{path} must be an ONNX file", str(error).splitlines()[0][:120], None) from error
    outside_data(path, model)
    operators(path, model, onnx)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        drop_maps(model)
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's and protobuf's own
        problem = " ".join(str(error).split())[:200]
        raise InputError(f"{path} must be a valid ONNX model", problem, "Export it again") from error
    shapes, dtypes = inputs_of(path, model)
    return Source(model, shapes, dtypes, labels_of(model))


def graphs(graph: Any) -> Iterator[Any]:
    """A graph and all graphs within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == CONTROL[0] else attribute.graphs:
                yield from graphs(inner)


def outside_data(path: Path, model: Any) -> None:
    """Raises: InputError if a weight is kept anywhere but in a plain file beside the model."""
    folder = path.parent.resolve()
    for graph in graphs(model.graph):
        held = [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
        for tensor in (*graph.initializer, *held):
            places = [entry.value for entry in tensor.external_data if entry.key == "location"]
            if tensor.data_location == tensor.EXTERNAL and not places:
                raise InputError(f"{path}: weight '{tensor.name}' must say where it is", "no location", None)
            for place in places:
                file = folder / place
                is_inside = not Path(place).is_absolute() and file.resolve().is_relative_to(folder)
                if not is_inside or file.is_symlink() or not file.is_file():
                    rule = f"{path}: weight '{tensor.name}' must be in a file of the model's own folder"
                    raise InputError(rule, repr(place), "Put all weights into the model, or beside it")


def operators(path: Path, model: Any, onnx: Any) -> None:
    """Raises: InputError for custom operators and for versions of the standard that are not known."""
    own = {(function.domain, function.name) for function in model.functions}
    custom = sorted({
        f"{node.domain}.{node.op_type}" for graph in graphs(model.graph) for node in graph.node
        if node.domain not in KNOWN_DOMAINS and (node.domain, node.op_type) not in own
    })  # fmt: skip
    if custom:
        raise InputError(f"{path} must hold standard operators alone", listed(custom), "Export it without custom ones")
    newest = onnx.defs.onnx_opset_version()
    for one in model.opset_import:
        if one.domain in ("", "ai.onnx") and not OLDEST_OPSET <= one.version <= newest:
            raise InputError(f"{path} must have an opset from {OLDEST_OPSET} to {newest}", one.version, "Convert it")


def inputs_of(path: Path, model: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shape and type of a row of every input; the first axis counts rows and is opened where it was fixed.

    Raises: InputError for inputs that are no numbers or whose rows have no fixed size.
    """
    known = {tensor.name for tensor in model.graph.initializer}
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, Any] = {}
    for value in model.graph.input:
        if value.name in known:
            continue
        kind = value.type.tensor_type
        if kind.elem_type not in NUMBERS:
            raise InputError(f"{path}: input '{value.name}' must hold numbers", "text or another type", None)
        sizes = [dim.dim_value for dim in kind.shape.dim]
        if not sizes or any(size < 1 for size in sizes[1:]):
            do = "Fix all axes but the first"
            raise InputError(f"{path}: a row of '{value.name}' must have a fixed size", sizes, do)
        kind.shape.dim[0].dim_param = "batch"
        shapes[value.name], dtypes[value.name] = tuple(sizes[1:]), NUMBERS[kind.elem_type]
    if not shapes:
        raise InputError(f"{path} must read something", "no input", None)
    for value in model.graph.output:
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    return shapes, dtypes


def labels_of(model: Any) -> tuple[str, ...]:
    """The classes that a classifier of the file names."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in LABELS and (attribute.strings or attribute.ints):
                return tuple(word.decode() for word in attribute.strings) or tuple(map(str, attribute.ints))
    return ()


def drop_maps(model: Any) -> None:
    """Scores that end as a list of dictionaries (ZipMap, scikit-learn's default) → the matrix that they are made of."""
    names = {value.name: value for value in model.graph.output}
    for node in [node for node in model.graph.node if node.op_type == "ZipMap" and node.output[0] in names]:
        value = names[node.output[0]]
        node.op_type, node.domain = "Identity", ""
        model.graph.node.remove(node)
        labels = [attribute for attribute in node.attribute if attribute.name in LABELS]
        name = value.name
        value.Clear()
        value.name = name
        value.type.tensor_type.elem_type = 1
        count = max((len(one.strings) or len(one.ints) for one in labels), default=0)
        value.type.tensor_type.shape.dim.add().dim_param = "batch"
        width = value.type.tensor_type.shape.dim.add()
        if count:
            width.dim_value = count
        del node.attribute[:]
        model.graph.node.append(node)
