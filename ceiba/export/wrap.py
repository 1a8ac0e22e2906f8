"""A foreign graph between two thin layers of nodes: the one input that a bundle's fields give, the logits it reads."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ceiba.base.optional import require
from ceiba.export.foreign_file import NUMBERS, Source

if TYPE_CHECKING:
    from ceiba.export.foreign import Output

INPUT = "table.numbers"
GIVEN = "given/"
"""What the names within the file begin with."""
LEAST_PROBABILITY = 1e-30
"""What stands for a probability of zero, whose logarithm has an end."""
FLOAT = 1


def wrap(source: Source, outputs: "Sequence[Output]") -> bytes:
    """The file's graph reading `table.numbers`, and answering each target's logits under the target's name."""
    onnx = require("onnx", "train", "import a model")
    helper = onnx.helper
    model = onnx.compose.add_prefix(source.model, GIVEN)  # so that no name within is one of the bundle's
    before, after, constants = [], [], []
    width = sum(source.widths.values())

    def constant(name: str, values: Any) -> str:
        constants.append(onnx.numpy_helper.from_array(np.asarray(values), f"ceiba.{name}"))
        return f"ceiba.{name}"

    start = 0
    for name, shape in source.shapes.items():
        stop = start + prod(shape)
        ends = [constant(f"{name}.{what}", [value]) for what, value in (("from", start), ("to", stop), ("axis", 1))]
        size = constant(f"{name}.shape", np.array([-1, *shape], np.int64))
        before += [
            helper.make_node("Slice", [INPUT, *ends], [f"ceiba.{name}.numbers"]),
            helper.make_node("Reshape", [f"ceiba.{name}.numbers", size], [f"ceiba.{name}.rows"]),
            helper.make_node("Cast", [f"ceiba.{name}.rows"], [GIVEN + name], to=elem_type(source.dtypes[name])),
        ]
        start = stop
    for one in outputs:
        after += logits_nodes(one, helper, constant)
    nodes = [*before, *model.graph.node, *after]
    held = {tensor.name for tensor in model.graph.initializer}
    del model.graph.node[:], model.graph.output[:]
    kept = [value for value in model.graph.input if value.name in held]
    del model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    model.graph.input.extend([helper.make_tensor_value_info(INPUT, FLOAT, ["batch", width]), *kept])
    shapes = {one.target: ["batch", one.width] if one.kind == "classes" else ["batch"] for one in outputs}
    model.graph.output.extend(helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in shapes.items())
    onnx.checker.check_model(model)
    found: bytes = model.SerializeToString()
    return found


def elem_type(dtype: Any) -> int:
    """ONNX's number of a numpy type."""
    return next(number for number, one in NUMBERS.items() if one is dtype)


def logits_nodes(one: "Output", helper: Any, constant: Any) -> list[Any]:
    """Scores → 32-bit logits: log p for classes, log p - log(1 - p) for one probability."""
    at = f"ceiba.{one.target}"
    size = constant(f"{one.target}.size", np.array([-1, one.width] if one.kind == "classes" else [-1], np.int64))
    nodes = [
        helper.make_node("Cast", [GIVEN + one.name], [f"{at}.float"], to=FLOAT),
        helper.make_node("Reshape", [f"{at}.float", size], [f"{at}.scores"]),
    ]
    if not one.is_probability:
        return [*nodes, helper.make_node("Identity", [f"{at}.scores"], [one.target])]
    bounds = {"low": LEAST_PROBABILITY, "high": 1}
    ends = [constant(f"{one.target}.{what}", np.float32(value)) for what, value in bounds.items()]
    nodes.append(helper.make_node("Clip", [f"{at}.scores", *ends], [f"{at}.p"]))
    if one.kind == "classes":
        return [*nodes, helper.make_node("Log", [f"{at}.p"], [one.target])]
    return [
        *nodes,
        helper.make_node("Log", [f"{at}.p"], [f"{at}.log"]),
        helper.make_node("Sub", [ends[1], f"{at}.p"], [f"{at}.rest"]),
        helper.make_node("Clip", [f"{at}.rest", *ends], [f"{at}.other"]),
        helper.make_node("Log", [f"{at}.other"], [f"{at}.olog"]),
        helper.make_node("Sub", [f"{at}.log", f"{at}.olog"], [one.target]),
    ]
