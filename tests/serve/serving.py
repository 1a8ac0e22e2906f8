"""Small exported bundles made without torch, and a real server around them."""

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper
from PIL import Image

from ceiba.answers import BinaryAnswer, ClassesAnswer, NumberAnswer, SpanAnswer, TagsAnswer
from ceiba.bundle import write_bundle
from ceiba.fields import CategorySpec, Fields, ImageSpec, NumberSpec, TextSpec
from ceiba.fields.words import WordsSpec

START_S = 60.0
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def _model(inputs: list[Any], outputs: list[Any], nodes: list[Any], constants: list[Any]) -> bytes:
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(onnx.ModelProto.SerializeToString(model))


def table_bundle(target: Path, shift: float = 0.0, report: dict[str, Any] | None = None) -> Path:
    """price = area + code of the city + shift; dear: the price as a logit."""
    fields = Fields(
        {
            "area": NumberSpec(normalize="none", bins=None, indicator=False).fit([pa.array([1.0, 2.0])]),
            "city": CategorySpec().fit([pa.array(["Oslo", "Rome"])]),
        },
        {},
    )
    nodes = [
        helper.make_node("Cast", ["table.codes"], ["codes"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["table.numbers", "codes"], ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "axes"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "shift"], ["price"]),
        helper.make_node("Identity", ["price"], ["dear"]),
    ]
    model = _model(
        [
            helper.make_tensor_value_info("table.numbers", TensorProto.FLOAT, ["rows", 1]),
            helper.make_tensor_value_info("table.codes", TensorProto.INT32, ["rows", 1]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in ("price", "dear")],
        nodes,
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("shift", TensorProto.FLOAT, [], [shift]),
        ],
    )
    return write_bundle(
        target,
        kind="model",
        model={},
        answers={"price": NumberAnswer(0.0, 1.0).to_json(), "dear": BinaryAnswer(("no", "yes")).to_json()},
        fields_json=fields.to_json(),
        field_files=fields.files(),
        recipe_yaml="",
        weights=None,
        meta={"reading": {"missing": ["?"]}},
        report=report,
        extra={"model.onnx": model},
    )


def text_bundle(target: Path, *clean: dict[str, Any]) -> Path:
    """A text's class is whether it has more than three tokens; its logit grows with their number."""
    fields = Fields({"text": TextSpec(max_tokens=64).fit([pa.array(["a b c", "a b", "c"])])}, {})
    nodes = [
        helper.make_node("Greater", ["text.ids", "zero"], ["is_token"]),
        helper.make_node("Cast", ["is_token"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ones", "axes"], ["count"], keepdims=1),
        helper.make_node("Sub", ["count", "three"], ["long"]),
        helper.make_node("Neg", ["long"], ["short"]),
        helper.make_node("Concat", ["short", "long"], ["kind"], axis=1),
    ]
    model = _model(
        [helper.make_tensor_value_info("text.ids", TensorProto.INT32, ["rows", "tokens"])],
        [helper.make_tensor_value_info("kind", TensorProto.FLOAT, ["rows", 2])],
        nodes,
        [
            helper.make_tensor("zero", TensorProto.INT32, [], [0]),
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("three", TensorProto.FLOAT, [], [3.5]),
        ],
    )
    return write_bundle(
        target, kind="model", model={}, answers={"kind": ClassesAnswer(("short", "long")).to_json()},
        fields_json=fields.to_json(), field_files=fields.files(), recipe_yaml="", weights=None,
        extra={"model.onnx": model}, meta={"reading": {"clean": list(clean)}},
    )  # fmt: skip


def words_bundle(target: Path) -> Path:
    """Anna begins a person, Oslo is a place, unknown words go on with a person, and "runs" is nothing."""
    labels = ("B-LOC", "B-PER", "I-PER", "O")
    fields = Fields({"word": WordsSpec().fit([pa.array([["anna", "oslo", "runs"]])])}, {})
    table = np.full((5, len(labels)), -1e4, np.float32)  # padding, unknown, anna, oslo, runs
    table[1:] = np.eye(len(labels))[[2, 1, 0, 3]]
    model = _model(
        [helper.make_tensor_value_info("word.ids", TensorProto.INT32, ["rows", "words"])],
        [helper.make_tensor_value_info("tag", TensorProto.FLOAT, ["rows", "words", len(labels)])],
        [helper.make_node("Gather", ["table", "word.ids"], ["tag"])],
        [helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.ravel())],
    )
    return write_bundle(
        target, kind="model", model={}, answers={"tag": TagsAnswer(labels).to_json()},
        fields_json=fields.to_json(), field_files=fields.files(), recipe_yaml="", weights=None,
        extra={"model.onnx": model},
    )  # fmt: skip


def quoting_bundle(target: Path) -> Path:
    """The answer to any question is the last word of the passage, where that ends behind the eighth character."""
    spec = TextSpec.model_validate({"type": "text", "tokenizer": {"type": "word", "min_count": 1}, "places": True})
    field = spec.fit([pa.array([["who wins", "the team wins the game today"]], pa.list_(pa.string()))])
    fields = Fields({"both": field}, {})
    nodes = [
        helper.make_node("Cast", ["both.places"], ["places"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["places"], ["ends"], axes=[1], keepdims=0),
        helper.make_node("Gather", ["ends", "last"], ["stop"], axis=1),
        helper.make_node("Sub", ["stop", "eight"], ["margin"]),
        helper.make_node("Concat", ["ends", "margin"], ["answer"], axis=1),
    ]
    model = _model(
        [helper.make_tensor_value_info("both.places", TensorProto.INT32, ["rows", "tokens", 2])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["rows", 3])],
        nodes,
        [
            helper.make_tensor("last", TensorProto.INT64, [1], [1]),
            helper.make_tensor("eight", TensorProto.FLOAT, [], [8]),
        ],
    )
    return write_bundle(
        target, kind="model", model={}, answers={"answer": SpanAnswer("both").to_json()},
        fields_json=fields.to_json(), field_files=fields.files(), recipe_yaml="", weights=None,
        meta={"reading": {"clean": [{"type": "pair", "columns": {"both": ["question", "passage"]}}]}},
        extra={"model.onnx": model},
    )  # fmt: skip


def png(value: int, side: int = 8) -> bytes:
    """A grey square of one value."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def image_bundle(target: Path) -> Path:
    """brightness = the mean of the pixels."""
    fields = Fields({"photo": ImageSpec(size=8, mode="grey").fit([pa.array([png(10), png(200)])])}, {})
    nodes = [
        helper.make_node("Cast", ["photo.pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["brightness"], axes=[1, 2, 3], keepdims=0),
    ]
    model = _model(
        [helper.make_tensor_value_info("photo.pixels", TensorProto.UINT8, ["rows", 8, 8, 1])],
        [helper.make_tensor_value_info("brightness", TensorProto.FLOAT, ["rows"])],
        nodes,
        [],
    )
    return write_bundle(
        target, kind="model", model={}, answers={"brightness": NumberAnswer(0.0, 1.0).to_json()},
        fields_json=fields.to_json(), field_files=fields.files(), recipe_yaml="", weights=None,
        extra={"model.onnx": model},
    )  # fmt: skip


class Server:
    """`ceiba serve` as a process of its own."""

    def __init__(self, *words: object, program: Sequence[str] = ("-m", "ceiba"), folder: Path | None = None):
        command = [sys.executable, *program, "serve", *map(str, words), "--port", "0"]
        self.folder = folder
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=ENVIRONMENT
        )
        self.said: list[str] = []
        self.host, self.port, self.key = "", 0, ""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.stderr is not None
            line = self.process.stderr.readline()
            if not line:
                break
            self.said.append(line.rstrip())
            if found := re.search(r"at https?://\[?([\w.:]+?)\]?:(\d+)$", self.said[-1]):
                self.host, self.port = found[1], int(found[2])
                break
        if self.port and not {"--open", "--keys"} & set(map(str, words)):
            self.key = self.process.stderr.readline().rpartition(" ")[2].strip()

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            own = {"Authorization": f"Bearer {self.key}"} if self.key else {}
            connection.request(method, path, body, own | (headers or {}))
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def post(self, path: str, value: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of a POST."""
        body = value if isinstance(value, bytes | str) else json.dumps(value)
        status, _, found = self.request("POST", path, body, headers)
        return status, json.loads(found)

    def get(self, path: str) -> tuple[int, Any]:
        status, _, found = self.request("GET", path)
        return status, json.loads(found)

    def workers(self) -> list[int]:
        """The processes that answer."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(one) for one in found.split()]

    def stop(self, one: int = signal.SIGTERM, within_s: float = 30) -> int:
        """Send a signal, and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(one)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            for stream in (self.process.stderr, self.process.stdout):
                if stream is not None:
                    self.said += stream.read().splitlines() if stream is self.process.stderr else []
                    stream.close()


Serve = Callable[..., Server]
