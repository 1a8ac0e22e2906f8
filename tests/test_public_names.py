"""The public names, and what importing costs."""

import json
import subprocess
import sys

import pytest

import ceiba

FREE_OF_TORCH = (
    "import ceiba",
    "import ceiba.cli",
    "import ceiba.cli.init",
    "import ceiba.cli.runs, ceiba.report.runs",
    "import ceiba.predict",
    "import ceiba.read",
)


def test_public_names_are_pinned() -> None:
    assert sorted(ceiba.__all__) == sorted(
        ["__version__", "CeibaError", "Client", "Recipe", "evaluate", "open", "profile", "read", "train"]
    )
    assert set(ceiba.__all__) <= set(dir(ceiba))


def test_a_verb_is_not_hidden_by_the_room_of_its_name() -> None:
    code = "import ceiba.run, ceiba.read, ceiba.evaluate; import ceiba; ceiba.train.__call__; ceiba.read.__call__"
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        ceiba.trian  # noqa: B018


@pytest.mark.parametrize("statement", FREE_OF_TORCH)
def test_importing_does_not_bring_torch(statement: str) -> None:
    heavy = ("torch", "sklearn", "pandas", "polars")
    code = f"{statement}; import sys, json; print(json.dumps([name for name in {heavy} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_help_brings_nothing_heavy() -> None:
    code = (
        "import sys, ceiba.cli; ceiba.cli.main(['--help']); "
        "heavy = {'torch', 'numpy', 'pyarrow', 'pydantic'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ceiba VERB" in done.stdout
