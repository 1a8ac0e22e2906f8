"""Bundles of every format that was ever written open, and answer as they did."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

import ceiba
from ceiba.bundle.layout import OPENED_SINCE

HERE = Path(__file__).parent


def recorded(version: int, name: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(
        (HERE / f"format-{version}" / "answers.json").read_text(encoding="utf-8")
    )
    return found[name]


@pytest.mark.parametrize("version", sorted(OPENED_SINCE))
@pytest.mark.parametrize("name", ["rows", "clothes"])
def test_its_answers_are_those_that_were_recorded(version: int, name: str) -> None:
    found = recorded(version, name)
    given = [{**row, "image": base64.b64decode(row["image"])} if "image" in row else row for row in found["given"]]
    answers = ceiba.open(HERE / f"format-{version}" / name).predict(given)
    assert len(answers) == len(found["answers"]) >= 3
    for answer, expected in zip(answers, found["answers"], strict=True):
        assert answer.keys() == expected.keys()
        for column, value in expected.items():
            assert answer[column] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-4))
