"""What OpenAI's protocol answers for models that were trained: a language model that writes, a classifier's vectors."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, Server

import ceiba

SENTENCE = "the cat sat on the mat and the dog sat on the log"
LANGUAGE = {
    "outputs": {"text": {"type": "text", "tokenizer": "character", "max_tokens": 64}},
    "model": {"dim": 32, "trunk": {"type": "transformer", "layers": 1, "heads": 2}},
    "train": {"epochs": 8, "batch_rows": 8, "optimizer": {"lr": 0.01}},
    "evaluate": {"baselines": False},
}
TOPIC = {
    "inputs": {"text": {"type": "text", "tokenizer": "word", "encoder": "mean"}},
    "outputs": {"topic": "binary"},
    "model": {"dim": 16},
    "train": {"epochs": 8, "batch_rows": 16, "optimizer": {"lr": 0.02}},
    "evaluate": {"baselines": False},
}
GREEDY = {"max_tokens": 24, "temperature": 0.0}
CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of one sentence, and a model that tells animals from weather."""
    folder = tmp_path_factory.mktemp("trained")
    lines = [" ".join(SENTENCE.split()[place % 5 :]) for place in range(80)]
    (folder / "story.txt").write_text("\n".join(lines) + "\n")
    ceiba.train({**LANGUAGE, "data": {"train": str(folder / "story.txt")}}, out=folder / "story")
    topics = {"animal": ["the cat sat", "a dog sat there", "that dog and a cat"],
              "weather": ["rain fell there", "a cloud and rain", "that cloud fell"]}  # fmt: skip
    rows = [f"{text},{topic}" for topic, texts in topics.items() for text in texts for _ in range(20)]
    (folder / "topics.csv").write_text("\n".join(["text,topic", *rows]) + "\n")
    ceiba.train({**TOPIC, "data": {"train": str(folder / "topics.csv")}}, out=folder / "topic")
    return folder


@pytest.fixture(scope="module")
def server(serve: Serve, trained: Path) -> Server:
    """Both behind the real command, with the network of each in torch."""
    return serve(f"story={trained / 'story'}", f"topic={trained / 'topic'}", "--open")


def events(server: Server, path: str, value: dict[str, Any]) -> list[Any]:
    status, headers, body = server.request("POST", path, json.dumps({**value, "stream": True}))
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    *parts, end, nothing = body.decode().split("\n\n")
    assert (end, nothing) == ("data: [DONE]", "")
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_a_text_goes_on_as_the_model_writes_it_here(server: Server, trained: Path) -> None:
    ask = {"model": "story", "prompt": "the cat sat on", **GREEDY}
    status, whole = server.post(TEXT, ask)
    assert status == 200
    text = whole["choices"][0]["text"]
    assert text == ceiba.open(trained / "story").generate("the cat sat on", max_tokens=24, temperature=0.0).text
    assert any(word in text for word in ("the", "mat", "log"))
    assert whole["usage"]["prompt_tokens"] == len("the cat sat on")
    assert 1 <= whole["usage"]["completion_tokens"] <= 24
    pieces = events(server, TEXT, ask)
    assert len(pieces) > 2  # as it is written, not at the end
    assert "".join(one["choices"][0]["text"] for one in pieces) == text
    assert pieces[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_prompts_that_are_written_side_by_side_do_not_mix(server: Server) -> None:
    prompts = ["the cat", "and the dog sat", "on"]
    alone = [server.post(TEXT, {"model": "story", "prompt": one, **GREEDY})[1]["choices"][0]["text"] for one in prompts]
    together = server.post(TEXT, {"model": "story", "prompt": prompts, **GREEDY})[1]["choices"]
    assert [one["text"] for one in sorted(together, key=lambda one: one["index"])] == alone


def test_a_chat(server: Server) -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the cat"}]
    ask = {"model": "story", "messages": messages, **GREEDY}
    status, whole = server.post(CHAT, ask)
    assert status == 200, whole
    message = whole["choices"][0]["message"]
    assert message["role"] == "assistant"
    found = events(server, CHAT, {**ask, "stream_options": {"include_usage": True}})
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in found[:-1]) == message["content"]
    assert found[-1]["usage"] == whole["usage"]
    drawn = [server.post(CHAT, {**ask, "temperature": 1.5, "seed": seed})[1]["choices"][0]["message"]["content"]
             for seed in (1, 1, 2)]  # fmt: skip
    assert drawn[0] == drawn[1] != drawn[2]


def test_vectors_of_texts(server: Server) -> None:
    texts = ["a cat and a dog", "the dog sat", "rain and a cloud"]
    status, value = server.post(EMBED, {"model": "topic", "input": texts})
    assert status == 200, value
    first, second, third = (one["embedding"] for one in value["data"])
    assert near(first, second) > near(first, third)  # what the model learnt to tell apart
    alone = server.post(EMBED, {"model": "topic", "input": texts[0], "encoding_format": "base64"})[1]["data"][0]
    vector = struct.unpack(f"<{len(first)}f", base64.b64decode(alone["embedding"]))
    assert vector == pytest.approx(first, abs=1e-5)
    assert value["usage"]["total_tokens"] > 0


def near(one: list[float], other: list[float]) -> float:
    lengths = (sum(value**2 for value in one) * sum(value**2 for value in other)) ** 0.5
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths


def test_what_each_cannot_do(server: Server) -> None:
    status, value = server.post(TEXT, {"model": "topic", "prompt": "the"})
    assert (status, value["error"]["type"]) == (400, "invalid_request_error")
    status, value = server.post(TEXT, {"model": "story", "prompt": "the " * 400, **GREEDY})
    assert status in (200, 400)  # a window moves on, or the prompt is refused; never a broken answer
    assert ("choices" in value) == (status == 200)
    assert server.post(EMBED, {"model": "nobody", "input": "a"})[0] == 404
