"""Adapters from bundles and from folders of peft's, beside the base that they were learnt from and beside others."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import ceiba
from ceiba.adapt import read_adapters
from ceiba.base.errors import InputError
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.generate.options import read_options
from ceiba.model import open_model

TEXTS = {
    "base": "the cat sat on the mat and the dog sat on the log",
    "loud": "one crab ran to one sea as two crabs ran to two teas",
    "news": "banks fell as rates rose and funds sold oil",
}
STILL = {"epochs": 4, "batch_rows": 8, "threads": 1, "precision": "fp32", "optimizer": {"lr": 0.01}}
LORA = {
    "loud": {"rank": 4, "targets": ["query", "key", "value", "out", "up", "down"]},
    "news": {"rank": 6, "alpha": 24, "targets": ["gate", "up", "down"]},
}
ASKED = {"max_tokens": 24}
PROMPTS = ["the cat", "the ", "banks ", "a"]


def learn(folder: Path, name: str, origin: Path | None = None, adapt: Any = None, **more: Any) -> Path:
    """The bundle of a small language model of characters."""
    lines = [" ".join(TEXTS[name].split()[place % 5 :]) for place in range(64)]
    if origin is None:  # so that every character is known
        lines += [text for text in TEXTS.values() for _ in range(8)]
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    text = {"type": "text", "head": "next_token", "max_tokens": 64}
    recipe: dict[str, Any] = {
        "data": {"train": str(folder / f"{name}.txt")}, "train": {**STILL, **more.pop("train", {})},
        "evaluate": {"baselines": False}, "outputs": {"text": {**text, **more.pop("text", {})}},
    }  # fmt: skip
    if origin is None:
        recipe["outputs"]["text"]["tokenizer"] = "character"
        recipe["model"] = {"dim": 32, "trunk": {"type": "transformer", "layers": 2, "heads": 2, **more}}
    else:
        recipe |= {"from": str(origin), "adapt": adapt or {"type": "lora", **LORA[name]}}
    out = folder / f"{name}-run"
    return Path(ceiba.train(recipe, out=out).bundle.folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, two bundles that were adapted from it, and those merged."""
    folder = tmp_path_factory.mktemp("adapters")
    found = {"base": learn(folder, "base")}
    for name in LORA:
        found[name] = learn(folder, name, found["base"], train={"optimizer": {"lr": 0.03}})
        found[f"{name} merged"] = folder / f"{name}-merged"
        assert main(["adapt", str(found[name]), "--merge", "--out", str(found[f"{name} merged"])]) == 0
    return found


def test_each_text_is_that_of_the_merged_bundle(made: dict[str, Path]) -> None:
    writer = ceiba.open(made["base"], adapters={name: made[name].parent for name in LORA})
    generator = writer.generator
    found: dict[tuple[str, str | None], str] = {}
    for drawn in ({}, {"temperature": 0.8, "seed": 3}):
        with generator.engine() as engine:
            streams = {
                (prompt, name): engine.submit(prompt, {**ASKED, **drawn, "adapter": name})
                for prompt in PROMPTS for name in (None, *LORA)
            }  # fmt: skip
            found = {key: stream.result().text for key, stream in streams.items()}
        for name in (None, *LORA):
            alone = ceiba.open(made["base"] if name is None else made[f"{name} merged"])
            for prompt in PROMPTS:
                assert found[prompt, name] == alone.generate(prompt, **ASKED, **drawn).text, (prompt, name)
        assert all(len({found[prompt, name] for name in (None, *LORA)}) == 3 for prompt in PROMPTS)


def test_a_folder_of_peft_says_the_same(made: dict[str, Path], tmp_path: Path) -> None:
    for name in LORA:
        assert main(["export", str(made[name]), "--to", "peft", "--out", str(tmp_path / name)]) == 0
    bundles = ceiba.open(made["base"], adapters={name: made[name] for name in LORA})
    folders = ceiba.open(made["base"], adapters={name: tmp_path / name for name in LORA})
    for name in LORA:
        expected = bundles.generate(PROMPTS, adapter=name, **ASKED)
        assert folders.generate(PROMPTS, adapter=name, **ASKED) == expected
    assert folders.generate(PROMPTS, **ASKED) == bundles.generate(PROMPTS, **ASKED)

    base, generator = open_bundle(made["base"]), folders.generator
    for folder, told in ((tmp_path / "loud", "must be a signed bundle"), (made["loud"], "must be a trust file")):
        with pytest.raises(InputError, match=told):
            read_adapters({"loud": folder}, base, tmp_path / "keys", generator.model, generator.field)

    weights = tmp_path / "loud/adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({name: one[:, : one.shape[1] // 2].contiguous() if "lora_A" in name else one
               for name, one in tensors.items()}, weights)  # fmt: skip
    with pytest.raises(InputError, match="must fit the layers of its base"):
        ceiba.open(made["base"], adapters={"loud": tmp_path / "loud"})
    save_file({name: one for name, one in tensors.items() if name != max(tensors)}, weights)  # half a pair
    with pytest.raises(InputError, match=r"must fit the layers of its base. Got trunk\..*\.down\."):
        ceiba.open(made["base"], adapters={"loud": tmp_path / "loud"})
    save_file({name: one / 0 for name, one in tensors.items()}, weights)
    with pytest.raises(InputError, match="must hold numbers"):
        ceiba.open(made["base"], adapters={"loud": tmp_path / "loud"})


def test_what_does_not_stand_beside_a_base_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    other = learn(tmp_path, "base", train={"seed": 1})
    parent = open_bundle(made["base"]).identity[:12]
    with pytest.raises(
        InputError, match=rf"must stand beside the weights of {other}.*a bundle that began with {parent}"
    ):
        ceiba.open(other, adapters={"loud": made["loud"]})
    deeper = learn(tmp_path, "news", made["loud"], {"type": "lora", "rank": 2})
    with pytest.raises(InputError, match="others in"):  # its own base holds what the first adapter learnt
        ceiba.open(made["base"], adapters={"both": deeper})
    assert ceiba.open(made["loud merged"], adapters={"both": deeper}).generate("a", adapter="both", **ASKED).ids
    for base, folder, told in (
        (made["base"], made["loud merged"], "must have LoRA matrices to be an adapter"),
        (made["loud"], made["loud"], "must be plain to have adapters beside it"),
        (made["base"], tmp_path, "must be a bundle, a run, or a folder with adapter_config.json"),
    ):
        with pytest.raises(InputError, match=told):
            ceiba.open(base, adapters={"some": folder})
    damaged = shutil.copytree(made["loud"], tmp_path / "damaged")
    weights = load_file(damaged / "weights.safetensors")
    save_file({name: one + 1 for name, one in weights.items()}, damaged / "weights.safetensors")
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        ceiba.open(made["base"], adapters={"loud": damaged})


def test_an_adapter_has_the_chats_that_it_learnt(
    made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chats = [{"messages": [{"role": "user", "content": f"the {one}"}, {"role": "assistant", "content": one[::-1]}]}
             for one in ("cat", "dog", "mat", "log") for _ in range(20)]  # fmt: skip
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)))
    recipe = {
        "from": str(made["base"]), "adapt": {"type": "lora", **LORA["loud"]},
        "data": {"train": str(tmp_path / "chats.jsonl")}, "outputs": {"messages": "chat"},
        "train": {**STILL, "epochs": 30}, "evaluate": {"baselines": False},
    }  # fmt: skip
    bundle = ceiba.train(recipe, out=tmp_path / "run").bundle.folder
    assert main(["adapt", str(bundle), "--merge", "--out", str(tmp_path / "merged")]) == 0
    together = ceiba.open(made["base"], adapters={"chats": bundle}).generator
    alone = ceiba.open(tmp_path / "merged").generator
    messages = [{"role": "user", "content": "the dog"}]
    prompt = together.chat(messages, "chats")
    assert prompt == alone.chat(messages) != together.chat(messages)
    (found,) = together.generate_each([prompt], [read_options({**ASKED, "adapter": "chats"})])
    assert [found] == alone.generate_each([prompt], [read_options(ASKED)])
    with together.engine() as engine:
        assert engine.by("chats").chat(messages) == prompt
    capsys.readouterr()
    said = ("--message", "the dog", "--max-tokens", "24", "--json")
    answers = []
    for words in ((made["base"], "--adapter", f"chats={bundle}", "--use", "chats"), (tmp_path / "merged",)):
        assert main(["chat", *map(str, words), *said]) == 0
        answers.append(json.loads(capsys.readouterr().out.splitlines()[-1])["messages"])
    assert answers[0] == answers[1]
    assert answers[0][-1]["content"] == found.text.strip()
    assert found.finish == "stop", "it ends where an answer ends"


def test_a_language_models_own_last_matrix_stays(made: dict[str, Path], tmp_path: Path) -> None:
    text = {"head": {"type": "next_token", "tied": False}}
    base = learn(tmp_path, "base", text=text)
    adapted = learn(tmp_path, "news", base, text=text)
    before, after = (open_model(open_bundle(one)).state_dict() for one in (base, adapted))
    name = next(name for name in before if name.startswith("heads."))
    assert torch.equal(before[name], after[name])
    assert ceiba.open(base, adapters={"news": adapted}).generate("a", adapter="news", **ASKED).text
