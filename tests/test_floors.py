"""The house plan as a table: a room imports only from lower floors, and never inside a function."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ceiba
from ceiba import cli
from ceiba.cli import export, opening

PACKAGE = Path(ceiba.__file__).parent
FLOORS = {
    "base": 0,
    "clean": 1, "fields": 1, "answers": 1, "bundle": 1, "metrics": 1, "read": 1, "layers": 1,
    "predict": 2, "prepare": 2, "encoders": 2, "trunks": 2, "heads": 2, "surgery": 2, "families": 2,
    "serve": 3, "batches": 3, "model": 3,
    "train": 4, "generate": 4,
    "evaluate": 5, "export": 5,
    "adapt": 6, "compress": 6, "explain": 6, "audit": 6,
    "report": 7,
    "recipe": 8,
    "run": 9,
    "studies": 10,
    "cli": 11, "__init__": 11, "__main__": 12,
}  # fmt: skip
TORCH_FREE = {"base", "clean", "fields", "answers", "bundle", "metrics", "read", "predict", "prepare", "serve"}
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(tree: ast.Module) -> Iterator[tuple[str, bool, int]]:
    """(dotted name, inside a function, line) of every import; those under TYPE_CHECKING are left out."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, inside, child.lineno
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "relative imports hide which room is meant"
                names = (
                    [f"ceiba.{alias.name}" for alias in child.names]
                    if child.module == "ceiba"
                    else [child.module or ""]
                )
                for name in names:
                    yield name, inside, child.lineno
            else:
                yield from walk(child, deeper)

    return walk(tree, False)


def faults(room: str, text: str) -> list[str]:
    """What a room's source breaks of the plan."""
    found = []
    for name, inside, line in imported(ast.parse(text)):
        parts = name.split(".")
        if parts[0] == "torch" and room in TORCH_FREE:
            found.append(f"line {line}: torch in a torch-free room")
        if parts[0] != "ceiba" or len(parts) < 2 or parts[1] in (room, "__version__"):
            continue
        if inside:
            found.append(f"line {line}: {name} inside a function")
        if FLOORS.get(parts[1], 99) >= FLOORS[room]:
            found.append(
                f"line {line}: {room} (floor {FLOORS[room]}) imports {parts[1]} (floor {FLOORS.get(parts[1])})"
            )
    return found


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_each_file_stands_on_lower_floors(source: Path) -> None:
    room = source.parts[0].removesuffix(".py")
    assert room in FLOORS, f"{room} is not on the plan"
    assert faults(room, (PACKAGE / source).read_text(encoding="utf-8")) == []


def test_the_check_finds_a_climb_a_brother_a_hidden_import_and_torch() -> None:
    assert faults("fields", "from ceiba.train import fit")
    assert faults("fields", "import ceiba.read")
    assert faults("train", "def f():\n    from ceiba.base import errors")
    assert faults("predict", "import torch.nn")
    assert not faults("train", "from ceiba.model import Model\nimport torch")


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()))
def test_each_room_opens_with_its_card(room: str) -> None:
    text = (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    card = ast.get_docstring(ast.parse(text)) or ""
    assert all(word in card for word in ("Takes", "Gives", "May touch", "Never", "To add one"))


def test_every_name_that_is_imported_by_string_exists() -> None:
    named = [target for target, _ in cli.VERBS.values()] + list(ceiba.PUBLIC.values()) + list(opening.BACKENDS.values())
    named += list(export.TARGETS.values())
    for target in named:
        assert callable(cli.resolve(target)), target


def test_every_string_that_names_a_module_stands_in_one_of_the_maps() -> None:
    """Two files may import by string: the command and the public names; nobody else."""
    allowed = {Path("__init__.py"), Path("cli/__init__.py"), Path("base/optional.py")}
    users = [source for source in SOURCES if "import_module" in (PACKAGE / source).read_text(encoding="utf-8")]
    assert set(users) <= allowed
