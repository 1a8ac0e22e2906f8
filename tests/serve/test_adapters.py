"""Adapters behind one model over HTTP: each is a model of its own to who asks, and there is one copy of the weights."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, Server

import ceiba
from ceiba.cli import main

SENTENCES = {
    "story": "the cat sat on the mat and the dog sat on the log",
    "sea": "one crab ran to one sea as two crabs ran to two teas",
    "news": "banks fell as rates rose and funds sold oil",
}
LORA = {"sea": {"rank": 4, "targets": ["query", "value", "up", "down"]}, "news": {"rank": 6, "targets": ["up", "down"]}}
GREEDY = {"max_tokens": 24, "temperature": 0.0}
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
NAMES = ("story", *LORA)
PROMPTS = ("the cat", "one ", "banks")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model, and two bundles that were adapted from it."""
    folder = tmp_path_factory.mktemp("trained")
    for name, sentence in SENTENCES.items():
        lines = [" ".join(sentence.split()[place % 5 :]) for place in range(64)]
        lines += [text for text in SENTENCES.values() for _ in range(8)] if name == "story" else []
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
        recipe: dict[str, Any] = {
            "data": {"train": str(folder / f"{name}.txt")}, "evaluate": {"baselines": False},
            "outputs": {"text": {"type": "text", "max_tokens": 64, "head": "next_token"}},
            "train": {"epochs": 6, "batch_rows": 8, "optimizer": {"lr": 0.01 if name == "story" else 0.03}},
        }  # fmt: skip
        if name == "story":
            recipe["outputs"]["text"]["tokenizer"] = "character"
            recipe["model"] = {"dim": 32, "trunk": {"type": "transformer", "layers": 2, "heads": 2}}
        else:
            recipe |= {"from": str(folder / "story"), "adapt": {"type": "lora", **LORA[name]}}
        ceiba.train(recipe, out=folder / name)
    return folder


def words(trained: Path) -> list[str]:
    return [f"story={trained / 'story'}", *(f"--adapter={name}={trained / name}" for name in LORA)]


@pytest.fixture(scope="module")
def server(serve: Serve, trained: Path) -> Server:
    return serve(*words(trained), "--open")


@pytest.fixture(scope="module")
def texts(trained: Path) -> dict[tuple[str, str], str]:
    """What each writes in this process, the adapters merged."""
    found = {}
    for name in NAMES:
        bundle = trained / name
        if name != "story":
            bundle = trained / f"{name}-merged"
            assert main(["adapt", str(trained / name), "--merge", "--out", str(bundle)]) == 0
        writer = ceiba.open(bundle)
        found |= {(name, prompt): writer.generate(prompt, **GREEDY).text for prompt in PROMPTS}
    assert all(len({found[name, prompt] for name in NAMES}) == 3 for prompt in PROMPTS)
    return found


def streamed(server: Server, path: str, value: dict[str, Any]) -> list[Any]:
    status, _, body = server.request("POST", path, json.dumps({**value, "stream": True}))
    assert status == 200
    *parts, end, nothing = body.decode().split("\n\n")
    assert (end, nothing) == ("data: [DONE]", "")
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_each_name_writes_its_own_text_whatever_else_is_asked_for(
    server: Server, texts: dict[tuple[str, str], str]
) -> None:
    def ask(key: tuple[str, str]) -> str:
        status, value = server.post(TEXT, {"model": key[0], "prompt": key[1], **GREEDY})
        assert (status, value["model"]) == (200, key[0])
        return str(value["choices"][0]["text"])

    keys = list(texts) * 2
    with ThreadPoolExecutor(len(keys)) as pool:
        assert list(pool.map(ask, keys)) == [texts[key] for key in keys]
    assert server.post(TEXT, {"prompt": PROMPTS[0], **GREEDY})[1]["choices"][0]["text"] == texts["story", PROMPTS[0]]


def test_a_stream_and_a_chat(server: Server, texts: dict[tuple[str, str], str]) -> None:
    pieces = streamed(server, TEXT, {"model": "news", "prompt": "one ", **GREEDY})
    assert {one["model"] for one in pieces} == {"news"}
    assert len(pieces) > 2
    assert "".join(one["choices"][0]["text"] for one in pieces) == texts["news", "one "]
    ask = {"messages": [{"role": "user", "content": "the cat"}], **GREEDY}
    whole = {name: server.post(CHAT, {"model": name, **ask})[1]["choices"][0]["message"]["content"] for name in NAMES}
    assert len(set(whole.values())) == 3
    found = streamed(server, CHAT, {"model": "sea", **ask})
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in found) == whole["sea"]


def test_what_is_listed_and_what_is_not_there(server: Server) -> None:
    listed = {one["id"]: one for one in server.get("/v1/models")[1]["data"]}
    assert list(listed) == ["story", "sea", "news"]
    assert "parent" not in listed["story"]
    assert listed["sea"]["parent"] == listed["news"]["parent"] == "story"
    status, value = server.post(TEXT, {"model": "sky", "prompt": "a"})
    assert (status, value["error"]["code"]) == (404, 404)
    assert value["error"]["message"].endswith("Use one of: news, sea, story.")
    for path in ("/v1/predict/sea", "/v1/models/sea:predict", "/v1/embeddings"):
        status, value = server.post(path, {"model": "sea", "input": "a", "instances": [{"text": "a"}]})
        assert status == 400, value
        assert "writes text" in str(value["error"])
    assert server.get("/v1/models/sea/metadata")[0] in (400, 404)
    assert server.get("/v1/models/sea")[0] in (200, 404)
    assert server.get("/openapi.json")[0] == 200
    assert server.post("/v1/predict/story", {"text": "the cat"})[0] == 200
    assert server.post(TEXT, {"model": "sea", "prompt": "one ", **GREEDY})[0] == 200
    assert 'ceiba_tokens_total{direction="out",model="sea"}' in server.request("GET", "/metrics")[2].decode()
    assert "story version 1 with sea, news at http" in server.said[-1]


def test_keys_hold_for_adapters_too(serve: Serve, trained: Path) -> None:
    server = serve(*words(trained))
    ask = {"model": "sea", "prompt": "one ", **GREEDY}
    assert server.post(TEXT, ask)[0] == 200
    assert server.post(TEXT, ask, {"Authorization": "Bearer wrong"})[0] == 401


def test_a_new_version_must_be_what_its_adapters_stand_beside(serve: Serve, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "story/bundle", tmp_path / "1")
    server = serve(f"story={tmp_path}", f"--adapter=sea={trained / 'sea'}", "--open")
    assert main(["adapt", str(trained / "news"), "--merge", "--out", str(tmp_path / "2")]) == 0
    assert server.process.stderr is not None
    told = server.process.stderr.readline()
    assert "version 2 is not served" in told
    assert "must stand beside the weights of" in told
    for name in ("story", "sea"):
        assert server.post(TEXT, {"model": name, "prompt": "one ", **GREEDY})[0] == 200


def test_what_cannot_be_served(trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    story, sea = trained / "story", trained / "sea"
    for base, adapter, told in (
        (story, f"story={sea}", "each adapter must have a name of its own"),
        (story, sea, "--adapter must be NAME=FOLDER"),
        (trained / "news", f"sea={sea}", "must be plain to have adapters"),
        (story, f"sea={tmp_path}", "The adapter sea must be a bundle"),
        (story, f"sea={story}", "must have LoRA matrices to be an adapter"),
    ):
        assert main(["serve", f"story={base}", f"--adapter={adapter}", "--open", "--port", "0"]) == 2
        assert told in capsys.readouterr().err
