"""`ceiba generate` and `ceiba chat`: a small model, trained and asked."""

import json
from contextlib import chdir
from io import StringIO
from pathlib import Path

import pytest

import ceiba
from ceiba.cli import main

RECIPE = """data: {train: lines.tsv}
outputs: {text: {type: text, tokenizer: character, max_tokens: 24, head: next_token}}
model: {dim: 16, trunk: {type: transformer, layers: 1, heads: 2}}
train: {epochs: 1, batch_rows: 16}
"""
BIRDS = """from: run
adapt: {type: lora, rank: 4, targets: [query, value, up, down]}
data: {train: birds.tsv}
outputs: {text: {type: text, max_tokens: 24, head: next_token}}
train: {epochs: 2, batch_rows: 8, optimizer: {lr: 0.05}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("written")
    lines = [f"{['the cat', 'a dog', 'two birds'][row % 3]} sat on mat number {row}" for row in range(120)]
    (made / "lines.tsv").write_text("text\tnumber\n" + "".join(f"{line}\t{row}\n" for row, line in enumerate(lines)))
    (made / "recipe.yaml").write_text(RECIPE)
    (made / "prompts.txt").write_text("the \na d\n\n")
    with chdir(made):
        assert main(["train", "recipe.yaml", "--out", "run"]) == 0
    return made


def asked(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[str], dict[str, object]]:
    capsys.readouterr()
    with chdir(folder):
        assert main([*words, "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    return lines, json.loads(last)


def test_one_prompt_is_shown_and_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("generate", "run", "--prompt", "the ", "--max-tokens", "9", "--logprobs", "2", "--temperature", "1")
    lines, figures = asked(folder, capsys, *words)
    (one,) = figures["texts"]  # type: ignore[misc]
    assert "\n".join(lines) == one["text"]
    assert (one["prompt"], one["tokens"], one["prompt_tokens"], one["finish"]) == ("the ", 9, 4, "length")
    assert [len(token["alternatives"]) for token in one["logprobs"]] == [2] * 9
    assert figures["weights"] in ("plain", "packed")
    first, second = (asked(folder, capsys, *words, "--weights", "plain")[1]["texts"] for _ in range(2))
    assert first == second, "the seed gives the text, number by number where the weights have one form"


def test_a_file_of_prompts_is_answered_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("generate", "run", "--prompts", "prompts.txt", "--out", "texts.jsonl", "--max-tokens", "6", "--rows", "2")
    _, figures = asked(folder, capsys, *words, "--temperature", "1", "--seed", "5")
    found = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    assert [one["prompt"] for one in found] == ["the ", "a d", ""]
    assert figures["count"] == 3
    alone = asked(
        folder, capsys, "generate", "run", "--prompt", "a d", "--max-tokens", "6", "--temperature", "1", "--seed", "6"
    )[1]
    assert alone["texts"][0]["text"] == found[1]["text"], "a row has its own seed"  # type: ignore[index]


def test_beams_and_a_draft(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = asked(folder, capsys, "generate", "run", "--prompt", "the ", "--max-tokens", "9")[1]["texts"]
    assert (
        asked(folder, capsys, "generate", "run", "--prompt", "the ", "--max-tokens", "9", "--draft", "run")[1]["texts"]
        == plain
    )
    lines, figures = asked(folder, capsys, "generate", "run", "--prompt", "the ", "--max-tokens", "9", "--beams", "3")
    assert "\n".join(lines) == "the " + figures["texts"][0]["text"]  # type: ignore[index]


def test_a_chat_is_held(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("hi\n\n/clear\nyou?\n/exit\nnever\n"))
    _, figures = asked(folder, capsys, "chat", "run", "--max-tokens", "3", "--when-full", "slide")
    roles = [(one["role"], one["content"]) for one in figures["messages"]]  # type: ignore[attr-defined]
    assert [role for role, _ in roles] == ["user", "assistant"]
    assert roles[0] == ("user", "you?")


def test_python_writes_too(folder: Path) -> None:
    writer = ceiba.open(folder / "run")
    one = writer.generate("the ", max_tokens=4)
    assert [one] == writer.generate(["the "], max_tokens=4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--prompt", "a", "--prompts", "b"), "--prompt or --prompts"),
        (("--prompt", "a", "--temperature", "-1"), "temperature"),
        (("--prompts", "none.txt"), "none.txt"),
        (("--prompts", "recipe.yaml", "--rows", "0"), "--rows"),
        (("--prompt", "the " * 20), "24 tokens"),
        (("--prompts", "bad.jsonl"), "bad.jsonl:2"),
    ],
)
def test_wrong_words_are_one_line(
    words: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.jsonl").write_text('{"prompt": "a"}\n{"text": 1}\n')
    capsys.readouterr()
    with chdir(folder):
        assert main(["generate", "run", *words, "--out", "never.jsonl"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not (folder / "never.jsonl").exists()


def test_an_adapter_writes_where_it_is_asked_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "birds.tsv").write_text("text\tnumber\n" + "number on number on\t1\n" * 60)
    (folder / "birds.yaml").write_text(BIRDS)
    with chdir(folder):
        assert main(["train", "birds.yaml", "--out", "birds"]) == 0
        assert main(["adapt", "birds", "--merge", "--out", "merged"]) == 0
    words = ("--prompt", "the ", "--max-tokens", "12")
    beside = ("--adapter", "birds=birds")

    def text(*given: str) -> object:
        return asked(folder, capsys, "generate", *given, *words)[1]["texts"][0]["text"]  # type: ignore[index]

    assert text("run", *beside, "--use", "birds") == text("merged") != text("run")
    assert text("run", *beside) == text("run")
    said = ("--message", "two", "--max-tokens", "8")
    answers = [
        asked(folder, capsys, "chat", *given, *said)[1]["messages"]
        for given in (("run", *beside, "--use", "birds"), ("merged",), ("run",))
    ]
    assert answers[0] == answers[1] != answers[2]
    for given, told in (
        ((*beside, "--use", "bees"), "an adapter must be there under that name. Got 'bees'. Use one of: birds."),
        (("--use", "birds"), "Open the model with it"),
        (("--adapter", "birds"), "--adapter must be NAME=FOLDER"),
        ((*beside, *beside), "each adapter must have a name of its own"),
    ):
        with chdir(folder):
            assert main(["generate", "run", *given, *words]) == 2
        assert told in capsys.readouterr().err
