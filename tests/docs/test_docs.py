"""Every example of README.md and docs/ is run, page by page, from top to bottom, in a folder of its own.

console   `$ ceiba ...` is run; the lines below it must be printed (`...` within them stands for anything), and one that
          begins with `ceiba: ` means that it must fail so.
          `$ make ...` and `$ pip install ...` are not run: their targets and extras must exist.
yaml      A whole recipe must be valid, and so must a fragment within the smallest recipe. A block whose first line is
          `# NAME.yaml` is written to that file, for the commands that follow.
python    Run; the blocks of a page share their names.

The folder holds `recipes/` and `examples/` (every tenth row of the large table), and the run of `make demo`.
"""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from ceiba.cli import main
from ceiba.recipe import check_recipe

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LARGE, EVERY = "california_housing.csv", 10
SMALLEST = {"data": {"train": "rows.csv"}, "outputs": {"target": "auto"}}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]*)(#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block and the line of its page on which it begins."""

    place: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}", found[1], found[2])
        for found in BLOCK.finditer(text)
    ]


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block and the lines that it must print."""
    given: list[tuple[str, list[str]]] = []
    for line in filter(str.strip, block.text.splitlines()):
        if line.startswith("$ "):
            given.append((line.removeprefix("$ "), []))
        else:
            assert given, f"{block.place} prints before any command"
            given[-1][1].append(line)
    yield from given


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every page finds: recipes, examples, and a trained run."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    shutil.copytree(ROOT / "examples", folder / "examples")
    head, *rows = (ROOT / "examples" / LARGE).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "examples" / LARGE).write_text("".join([head, *rows[::EVERY]]), encoding="utf-8")
    made = re.search(r"\$\(BIN\)/ceiba (train .* runs/demo)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made, "make demo must train runs/demo"
    with chdir(folder):
        assert main(shlex.split(made[1])) == 0
    return folder


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_examples_of_a_page_run_from_top_to_bottom(
    page: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [block for block in blocks(page) if block.language]
    if found:
        folder = request.getfixturevalue("desk")
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in found:
        assert block.language in ("console", "yaml", "python"), f"{block.place} {block.language} cannot be run"
        if block.language == "yaml":
            check_yaml(block)
        elif block.language == "python":
            exec(compile(block.text, block.place, "exec"), names)
        else:
            for command, lines in commands(block):
                check_command(block.place, command, lines)


def check_yaml(block: Block) -> None:
    """A whole recipe, or a fragment of one, is valid; a named one is written."""
    value = yaml.safe_load(block.text)
    if not {"data", "outputs"} <= set(value):
        value = SMALLEST | value
    check_recipe(value, {}, block.place)
    if name := re.match(r"# (\S+\.yaml)\n", block.text):
        Path(name[1]).write_text(block.text, encoding="utf-8")


def check_command(place: str, command: str, lines: list[str]) -> None:
    """One line of a console block."""
    name, *words = shlex.split(command, comments=True)
    if name == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets), f"{place} {command}: targets are {targets}"
    elif name == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.findall(r"ceiba\[(.*?)\]", command)
        assert words[0] == "install", place
        assert "ceiba" in command, place
        assert {one for extra in extras for one in extra.split(",")} <= set(project["optional-dependencies"]), place
    else:
        assert name == "ceiba", f"{place} {command} cannot be run"
        printed, said = StringIO(), StringIO()
        if ">" in words:
            words, (_, file) = words[: words.index(">")], words[words.index(">") :]
        else:
            file = None
        with redirect_stdout(printed), redirect_stderr(said):
            code = _code(words)
        if file is not None:
            Path(file).write_text(printed.getvalue(), encoding="utf-8")
        is_error = any(line.startswith("ceiba: ") for line in lines)
        assert (code > 0) == is_error, f"{place} {command} exits with {code}: {said.getvalue()[-600:]}"
        shown = [line.rstrip() for line in (printed.getvalue() + said.getvalue()).splitlines()]
        for line in lines:
            pattern = re.escape(line.rstrip()).replace(re.escape("..."), ".+")
            is_printed = any(re.fullmatch(pattern, one) for one in shown)
            assert is_printed, f"{place} {command} prints otherwise:\n{chr(10).join(shown[-20:])}"


def _code(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as stopped:  # argparse's --help
        return int(stopped.code or 0)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    anchors = {page: _anchors(page)}
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            anchors.setdefault(path, _anchors(path))
            assert anchor in anchors[path], f"{page.name} links to {target}{anchor}: {sorted(anchors[path])}"


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE) if page.suffix == ".md" else []
    return {"#" + re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_page_and_verb_is_in_the_list_of_pages() -> None:
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if page.stem != "README" and f"({page.name})" not in listed] == []
