"""TensorFlow Serving's REST protocol: recorded examples of its documentation, both shapes, each error."""

import base64
import json
from typing import Any

import pytest
from serving import Server, png

HOMES = "/v1/models/homes"


def test_rows_and_columns(home: Server) -> None:
    rows = {"instances": [{"area": 1.0, "city": "Rome"}, {"area": [2.0], "city": ["Oslo"]}]}
    status, answer = home.post(f"{HOMES}:predict", rows)
    assert status == 200
    assert [one["price"] for one in answer["predictions"]] == [4.0, 4.0]
    assert answer["predictions"][0]["dear"] == "yes"
    columns = {"signature_name": "serving_default", "inputs": {"area": [[1.0], [2.0]], "city": ["Rome", "Oslo"]}}
    assert home.post(f"{HOMES}/versions/1:predict", columns)[1]["outputs"]["price"] == [4.0, 4.0]
    assert home.post(f"{HOMES}/labels/stable:PREDICT", columns)[0] == 200


def test_one_input_and_one_output_are_bare(home: Server) -> None:
    image = {"b64": base64.b64encode(png(33)).decode()}
    assert home.post("/v1/models/photos:predict", {"instances": [image, image]}) == (200, {"predictions": [33.0, 33.0]})
    assert home.post("/v1/models/photos:predict", {"instances": [{"photo": image}]}) == (200, {"predictions": [33.0]})
    assert home.post("/v1/models/photos:predict", {"inputs": image}) == (200, {"outputs": [33.0]})
    text = {"b64": base64.b64encode(b"a b c a").decode()}
    found = home.post("/v1/models/reviews:predict", {"instances": ["a b", text]})[1]["predictions"]
    assert [one["kind"] for one in found] == ["short", "long"]


def test_bare_words_that_are_no_json(home: Server) -> None:
    body = '{"instances": [{"area": NaN, "city": "Rome"}]} and more'
    assert home.post(f"{HOMES}:predict", body)[1]["predictions"][0]["price"] == 4.5
    assert home.post(f"{HOMES}:predict", body.replace("NaN", "Infinity"))[0] == 400


def test_classify_and_regress(home: Server) -> None:
    examples = {"context": {"city": "Rome"}, "examples": [{"area": 1.0}, {"area": [-9.0]}]}
    status, answer = home.post(f"{HOMES}:classify", examples)
    assert status == 200
    assert [[label for label, _ in one] for one in answer["results"]] == [["no", "yes"]] * 2
    assert sum(score for _, score in answer["results"][0]) == pytest.approx(1.0)
    assert answer["results"][1][0][1] > 0.9
    assert home.post(f"{HOMES}:regress", examples)[1] == {"results": [4.0, -6.0]}
    assert home.post("/v1/models/photos:classify", {"examples": [{"photo": ""}]})[0] == 400


def test_status_and_metadata(home: Server) -> None:
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert home.get(HOMES) == (200, {"model_version_status": [available]})
    assert home.get(f"{HOMES}/versions/1")[1]["model_version_status"] == [available]
    value = home.get(f"{HOMES}/metadata")[1]
    assert value["model_spec"] == {"name": "homes", "signature_name": "", "version": "1"}
    signature = value["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["inputs"]["area"] == {"dtype": "DT_FLOAT", "name": "area:0", "tensor_shape": shape}
    assert signature["inputs"]["city"]["dtype"] == "DT_STRING"
    assert signature["method_name"] == "tensorflow/serving/predict"


ERRORS: dict[str, tuple[str, Any, int, str]] = {
    "both keys": (":predict", {"instances": [1], "inputs": [1]}, 400, "either"),
    "neither key": (":predict", {}, 400, "Missing 'inputs' or 'instances' key"),
    "no values": (":predict", {"instances": []}, 400, "at least one"),
    "plain list of several inputs": (":predict", {"instances": [1, 2]}, 400, "multiple inputs required"),
    "missing column": (":predict", {"inputs": {"area": [1]}}, 400, "Missing named input: city in 'inputs' object."),
    "missing in a row": (":predict", {"instances": [{"area": 1}]}, 400, "'city'"),
    "ragged columns": (":predict", {"inputs": {"area": [1, 2], "city": ["Rome"]}}, 400, "same number"),
    "wrong kind": (":predict", {"instances": [{"area": "west", "city": "Rome"}]}, 400, "must be a number"),
    "no JSON": (":predict", "{", 400, "JSON"),
    "a list": (":predict", "[1]", 400, "JSON object"),
    "deep": (":predict", '{"instances": ' + "[" * 9000 + "]" * 9000 + "}", 400, "nest"),
    "signature": (":predict", {"signature_name": "other", "instances": [1]}, 400, "signature"),
    "context twice": (":classify", {"context": {"area": 1}, "examples": [{"area": 1, "city": "a"}]}, 400, "'area'"),
    "version": ("/versions/7:predict", {"instances": [1]}, 404, "version"),
    "label": ("/labels/best:predict", {"instances": [1]}, 404, "label"),
    "verb": (":dance", {}, 400, "Malformed request: POST /v1/models/homes:dance"),
    "both version and label": ("/versions/1/labels/a:predict", {}, 400, "Malformed request"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(home: Server, name: str) -> None:
    tail, body, status, message = ERRORS[name]
    found, answer = home.post(HOMES + tail, body)
    assert found == status, answer
    assert set(answer) == {"error"}
    assert message in answer["error"], answer


def test_other_models_and_paths(home: Server) -> None:
    assert home.post("/v1/models/nobody:predict", {"instances": [1]})[0] == 404
    assert home.get("/v1/models/nobody")[0] == 404
    assert home.post("/v1/models/..%2fetc:predict", {"instances": [1]})[0] in (400, 404)
    status, headers, body = home.request("POST", f"{HOMES}:predict", "{}")
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(body) == {"error": "Missing 'inputs' or 'instances' key"}
