"""Clients of other servers, unchanged: tritonclient over HTTP in JSON and binary, the openai package, curl.

Run in an environment of its own (real_clients.txt), beside servers of the adult bundle, of a language model and of an
encoder of texts, served as adult, writer and encoder:
python bench/serving/real_clients.py ADULT_ADDRESS WRITER_ADDRESS ENCODER_ADDRESS
"""

import json
import subprocess
import sys
from urllib.parse import urlsplit

import numpy as np
import tritonclient.http as triton
from openai import BadRequestError, OpenAI

ROW = {
    "age": 39, "workclass": "State-gov", "fnlwgt": 77516, "education": "Bachelors", "education_num": 13,
    "marital_status": "Never-married", "occupation": "Adm-clerical", "relationship": "Not-in-family", "race": "White",
    "sex": "Male", "capital_gain": 2174, "capital_loss": 0, "hours_per_week": 40, "native_country": "United-States",
}  # fmt: skip


def curl(address: str, *words: str) -> dict[str, object]:
    """What curl prints, parsed."""
    found = subprocess.run(["curl", "-s", "-X", "POST", address, *words], capture_output=True, check=True).stdout
    return dict(json.loads(found))


def tensorflow(address: str) -> float:
    """The curl calls of TensorFlow Serving's documentation, in both shapes; the probability."""
    url = f"{address}/v1/models/adult:predict"
    rows = curl(url, "-d", json.dumps({"instances": [ROW, ROW]}))["predictions"]
    columns = curl(url, "-d", json.dumps({"inputs": {name: [value] * 2 for name, value in ROW.items()}}))["outputs"]
    assert rows[0] == {name: values[0] for name, values in columns.items()}, (rows, columns)
    results = curl(f"{address}/v1/models/adult:classify", "-d", json.dumps({"examples": [ROW]}))["results"]
    assert {label for label, _ in results[0]} == {"<=50K", ">50K"}
    status = json.loads(subprocess.run(["curl", "-s", f"{address}/v1/models/adult"], capture_output=True).stdout)
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    return float(rows[0]["income_>50K"])


def inference(address: str, is_binary: bool) -> float:
    """One request by tritonclient; the probability."""
    client = triton.InferenceServerClient(urlsplit(address).netloc)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("adult")
    kinds = {one["name"]: one["datatype"] for one in client.get_model_metadata("adult")["inputs"]}
    inputs = []
    for name, value in ROW.items():
        one = triton.InferInput(name, [1, 1], kinds[name])
        is_number = kinds[name] == "FP32"
        one.set_data_from_numpy(np.array([[value]], np.float32 if is_number else object), binary_data=is_binary)
        inputs.append(one)
    outputs = [triton.InferRequestedOutput(name, binary_data=is_binary) for name in ("income", "income_>50K")]
    found = client.infer("adult", inputs, outputs=outputs)
    label = found.as_numpy("income")[0]
    assert label in (b"<=50K", "<=50K"), label
    return float(found.as_numpy("income_>50K")[0])


def openai(address: str, model: str) -> str:
    """Chat and completions, whole and as a stream; the text."""
    client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "hello world"}]
    options = {"model": model, "messages": messages, "seed": 1, "temperature": 0.0, "max_tokens": 20}
    whole = client.chat.completions.create(**options)
    stream = client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
    pieces = list(stream)
    text = "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)
    assert text == whole.choices[0].message.content
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens
    plain = client.completions.create(model=model, prompt="hello", max_tokens=5, temperature=0.0)
    streamed = client.completions.create(model=model, prompt="hello", max_tokens=5, temperature=0.0, stream=True)
    assert "".join(one.choices[0].text for one in streamed) == plain.choices[0].text
    assert model in [one.id for one in client.models.list()]
    try:
        client.chat.completions.create(model=model, messages=[])
        raise AssertionError("an empty chat was answered")
    except BadRequestError:
        return text


def embeddings(address: str, model: str) -> int:
    """Vectors in base64, which the openai package asks for unless told otherwise, and as numbers; their width."""
    client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    texts = ["Stocks fell on Friday.", "Shares dropped.", "The team won the final."]
    packed, plain = (
        np.array([one.embedding for one in client.embeddings.create(model=model, input=texts, **more).data])
        for more in ({}, {"encoding_format": "float"})
    )
    np.testing.assert_allclose(packed, plain, rtol=1e-6)
    alone = client.embeddings.create(model=model, input=texts[1]).data[0].embedding
    np.testing.assert_allclose(alone, packed[1], rtol=1e-4, atol=1e-5)
    return packed.shape[1]


if __name__ == "__main__":
    adult, writer, encoder = sys.argv[1:4]
    figures = {
        "tensorflow": tensorflow(adult),
        "inference_json": inference(adult, False),
        "inference_binary": inference(adult, True),
        "openai": openai(writer, "writer"),
        "embeddings": embeddings(encoder, "encoder"),
    }
    assert abs(figures["inference_json"] - figures["tensorflow"]) < 1e-6
    assert figures["inference_json"] == figures["inference_binary"]
    print(json.dumps(figures))
