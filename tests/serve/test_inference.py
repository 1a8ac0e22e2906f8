"""The Open Inference Protocol: JSON and binary give the same answer; sizes that lie are refused before use."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from serving import Server, png

HOMES = "/v2/models/homes"
INPUTS: list[dict[str, Any]] = [
    {"name": "area", "shape": [2, 1], "datatype": "FP32", "data": [1.0, 2.5]},
    {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": [["Rome"], ["Oslo"]]},
]


def bytes_of(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def binary(value: Any, tail: bytes, server: Server, path: str = HOMES) -> tuple[int, dict[str, str], bytes]:
    head = json.dumps(value).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    return server.request("POST", f"{path}/infer", head + tail, headers)


def test_who_answers(home: Server) -> None:
    assert home.get("/v2")[1]["extensions"] == ["binary_tensor_data"]
    assert home.get("/v2/health/live") == (200, {"live": True})
    assert home.get("/v2/health/ready") == (200, {"live": True, "ready": True})
    assert home.get(f"{HOMES}/ready") == (200, {"name": "homes", "ready": True})
    value = home.get(f"{HOMES}/versions/1")[1]
    assert (value["name"], value["versions"], value["platform"]) == ("homes", ["1"], "onnx_onnxv1")
    assert {one["name"]: one["datatype"] for one in value["inputs"]} == {"area": "FP32", "city": "BYTES"}
    assert value["outputs"][0] == {"name": "price", "datatype": "FP64", "shape": [-1]}
    assert home.get("/v2/models/nobody")[0] == 404


def test_tensors_in_json(home: Server) -> None:
    status, answer = home.post(f"{HOMES}/infer", {"id": "42", "inputs": INPUTS, "outputs": [{"name": "price"}]})
    assert status == 200
    assert answer == {
        "model_name": "homes", "model_version": "1", "id": "42",
        "outputs": [{"name": "price", "datatype": "FP64", "shape": [2], "data": [4.0, 4.5]}],
    }  # fmt: skip
    assert len(home.post(f"{HOMES}/infer", {"inputs": INPUTS})[1]["outputs"]) == 5


@pytest.mark.parametrize("kind", ["FP32", "FP64", "FP16", "INT64", "UINT8", "BOOL"])
def test_binary_tensors_give_the_answers_of_json(home: Server, kind: str) -> None:
    numbers = np.array(
        [1, 1], {"FP32": "<f4", "FP64": "<f8", "FP16": "<f2", "INT64": "<i8", "UINT8": "u1", "BOOL": "?"}[kind]
    )
    cities = bytes_of(b"Rome", b"Oslo")
    value = {
        "inputs": [
            {"name": "area", "shape": [2, 1], "datatype": kind, "parameters": {"binary_data_size": numbers.nbytes}},
            {"name": "city", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(cities)}},
        ],
        "outputs": [{"name": "price", "parameters": {"binary_data": True}}, {"name": "dear"}],
    }
    status, headers, body = binary(value, numbers.tobytes() + cities, home)
    assert status == 200, body
    length = int(headers["inference-header-content-length"])
    head = json.loads(body[:length])
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(body[length:], "<f8").tolist() == [4.0, 3.0]
    assert head["outputs"][1]["data"] == ["yes", "yes"]
    value["parameters"] = {"binary_data_output": True}  # type: ignore[assignment]
    status, headers, body = binary(value, numbers.tobytes() + cities, home)
    assert body.endswith(bytes_of(b"yes", b"yes"))


def test_a_body_that_is_one_tensor(home: Server) -> None:
    status, headers, body = home.request(
        "POST", "/v2/models/photos/infer", png(70), {"Inference-Header-Content-Length": "0"}
    )
    assert status == 200
    assert np.frombuffer(body[int(headers["inference-header-content-length"]) :], "<f8").tolist() == [70.0]


def changed(place: int, **parts: Any) -> dict[str, Any]:
    inputs = [dict(one) for one in INPUTS]
    inputs[place] |= parts
    return {"inputs": inputs}


BAD: dict[str, Any] = {
    "no inputs": {},
    "count": changed(0, data=[1.0]),
    "overflow": changed(0, shape=[1 << 39, 1 << 39]),
    "negative": changed(0, shape=[-1, 1]),
    "shape of text": changed(0, shape="2"),
    "datatype": changed(0, datatype="FP8"),
    "FP16 in JSON": changed(0, datatype="FP16"),
    "rows": changed(0, shape=[1, 1], data=[1.0]),
    "width": changed(0, shape=[2, 2], data=[1, 2, 3, 4]),
    "twice": {"inputs": [*INPUTS, INPUTS[0]]},
    "missing": {"inputs": INPUTS[:1]},
    "no number": changed(0, data=["a", "b"]),
    "unknown output": {"inputs": INPUTS, "outputs": [{"name": "size"}]},
    "size without bytes": changed(0, parameters={"binary_data_size": 8}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_together_is_refused(home: Server, name: str) -> None:
    status, answer = home.post(f"{HOMES}/infer", BAD[name])
    assert status == 400, answer
    assert set(answer) == {"error"}
    assert "\n" not in answer["error"]


def test_binary_sizes_that_lie(home: Server) -> None:
    one = {"name": "area", "shape": [2, 1], "datatype": "FP32"}
    city = {"name": "city", "shape": [2], "datatype": "BYTES"}
    numbers, cities = np.ones(2, "<f4").tobytes(), bytes_of(b"Rome", b"Oslo")

    def sized(first: Any, second: Any) -> dict[str, Any]:
        return {
            "inputs": [
                one | {"parameters": {"binary_data_size": first}},
                city | {"parameters": {"binary_data_size": second}},
            ]
        }

    assert binary(sized(8, len(cities)), numbers + cities, home)[0] == 200
    for value, tail in (
        (sized(8, len(cities)), numbers + cities + b"more"),
        (sized(8, len(cities)), numbers + cities[:-1]),
        (sized(1 << 60, 4), numbers + cities),
        (sized(-8, len(cities)), numbers + cities),
        (sized(4, len(cities) + 4), numbers + cities),
        (sized(8, len(cities)), numbers + struct.pack("<I", 1 << 31) + cities[4:]),
        (sized(8, 4), numbers + cities[:4]),
    ):
        assert binary(value, tail, home)[0] == 400
    for length in ("-1", "99999999", "x", "4"):
        headers = {"Inference-Header-Content-Length": length}
        assert home.request("POST", f"{HOMES}/infer", b'{"inputs": []}', headers)[0] == 400
