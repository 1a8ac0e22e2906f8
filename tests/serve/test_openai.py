"""OpenAI's protocol over a writer of plain Python: whole answers, streams that add up to them, and what is refused."""

import base64
import http.client
import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, Server


@pytest.fixture(scope="module")
def writer(serve: Serve, bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server of a model that echoes and of one that does not write."""
    here = Path(__file__).with_name("writing.py")
    return serve(
        f"echo={bundles['text']}", f"homes={bundles['table']}", "--open", program=[str(here)],
        folder=tmp_path_factory.mktemp("writer"),
    )  # fmt: skip


def chat(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


def events(server: Server, path: str, value: dict[str, Any]) -> list[Any]:
    """The events of a stream, parsed; the last must be the end."""
    status, headers, body = server.request("POST", path, json.dumps(value | {"stream": True}))
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    parts = body.decode().split("\n\n")
    assert parts.pop() == ""
    assert parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_a_chat(writer: Server) -> None:
    status, answer = writer.post("/v1/chat/completions", chat("hello"))
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "hello"}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    assert writer.post("/v1/chat/completions", chat(parts))[1]["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("text", ["hello", "Straße 你好 🙂"])
def test_a_stream_adds_up_to_the_whole_answer(writer: Server, text: str) -> None:
    found = events(writer, "/v1/chat/completions", chat(text, stream_options={"include_usage": True}))
    assert len({one["id"] for one in found}) == 1
    assert {one["object"] for one in found} == {"chat.completion.chunk"}
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in found[:-1]) == text
    assert (found[-2]["choices"][0]["delta"], found[-2]["choices"][0]["finish_reason"]) == ({}, "stop")
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] == len(text)
    plain = events(writer, "/v1/completions", {"model": "echo", "prompt": text})
    assert "".join(one["choices"][0]["text"] for one in plain) == text


def test_options(writer: Server) -> None:
    ask = {"model": "echo", "prompt": ["one two", [104, 105]], "n": 2, "max_tokens": 5, "stop": " "}
    answer = writer.post("/v1/completions", ask)[1]
    assert [(one["index"], one["text"], one["finish_reason"]) for one in answer["choices"]] == [
        (0, "one", "stop"), (1, "one", "stop"), (2, "hi", "stop"), (3, "hi", "stop"),
    ]  # fmt: skip
    answer = writer.post("/v1/completions", {"prompt": "seed", "seed": 7, "n": 2})[1]
    assert [one["text"] for one in answer["choices"]] == ["seed#7", "seed#8"]
    answer = writer.post("/v1/chat/completions", chat("hello", max_completion_tokens=2))[1]
    assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == ("he", "length")


def test_embeddings_and_models(writer: Server) -> None:
    value = writer.post("/v1/embeddings", {"model": "echo", "input": ["abc", "a"]})[1]
    assert [one["embedding"] for one in value["data"]] == [[3.0, 0.5], [1.0, 0.5]]
    assert value["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    value = writer.post("/v1/embeddings", {"input": "abc", "encoding_format": "base64"})[1]
    assert struct.unpack("<2f", base64.b64decode(value["data"][0]["embedding"])) == (3.0, 0.5)
    assert [one["id"] for one in writer.get("/v1/models")[1]["data"]] == ["echo", "homes"]


BAD: dict[str, tuple[Any, int]] = {
    "no messages": ({"model": "echo"}, 400),
    "no content": ({"model": "echo", "messages": [{"role": "user"}]}, 400),
    "a picture": (chat([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}]), 400),
    "template": ({"model": "echo", "messages": [{"role": "assistant", "content": "a"}]}, 400),
    "too long": (chat("a" * 201), 400),
    "temperature": (chat("a", temperature="hot"), 400),
    "n": (chat("a", n=1000), 400),
    "stop": (chat("a", stop=[1]), 400),
    "other model": (chat("a") | {"model": "gpt"}, 404),
    "a model of tables": (chat("a") | {"model": "homes"}, 400),
    "no object": ([1], 400),
    "no JSON": ("{", 400),
    "broken engine": (chat("ab!"), 500),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(writer: Server, name: str) -> None:
    body, status = BAD[name]
    found, answer = writer.post("/v1/chat/completions", body)
    assert found == status, answer
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["code"] == status
    assert "secret" not in answer["error"]["message"]


def test_an_engine_that_breaks_in_a_stream_is_told_in_an_event(writer: Server) -> None:
    _, _, body = writer.request("POST", "/v1/chat/completions", json.dumps(chat("ab!", stream=True)))
    last = body.decode().rstrip().rpartition("data: ")[2]
    assert json.loads(last)["error"]["code"] == 500
    assert b"secret" not in body


def test_a_client_that_leaves_stops_the_writing(writer: Server) -> None:
    connection = http.client.HTTPConnection(writer.host, writer.port, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(chat("slow" * 40, stream=True, max_tokens=160)))
    connection.getresponse().read1(10)
    connection.close()
    assert writer.folder is not None
    time.sleep(1.5)
    count = int((writer.folder / "written.txt").read_text())
    time.sleep(0.5)
    assert int((writer.folder / "written.txt").read_text()) == count < 150
