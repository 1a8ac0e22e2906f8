"""The files for Docker, systemd and KServe call the server with options that it knows."""

import json
import re
import shlex
import tomllib
from importlib.metadata import requires
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ceiba.cli.serve import _words

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "docs" / "serving"
NEVER_IMPORTED = "huggingface-hub"
"""What tokenizers lists to fetch from the hub, which a server never does."""


def test_docker() -> None:
    text = (FILES / "Dockerfile").read_text()
    entry, more = (
        json.loads(re.search(rf"^{name} (\[.*\])$", text, re.MULTILINE)[1]) for name in ("ENTRYPOINT", "CMD")
    )
    assert entry[:2] == ["ceiba", "serve"]
    given = _words().parse_args([*entry[2:], *more])
    assert (given.models, given.host, given.probe_port) == (["model=/models/model"], "0.0.0.0", 8001)
    assert f"EXPOSE 8000 {given.probe_port}" in text


def test_systemd() -> None:
    command = re.search(r"^ExecStart=(.*)$", (FILES / "ceiba.service").read_text(), re.MULTILINE)
    assert command is not None
    program, verb, *words = shlex.split(command[1])
    assert (Path(program).name, verb) == ("ceiba", "serve")
    assert _words().parse_args(words).workers == 2


def test_kserve() -> None:
    value = yaml.safe_load((FILES / "kserve.yaml").read_text())
    container = value["spec"]["predictor"]["containers"][0]
    assert container["command"] + container["args"][:1] == ["ceiba", "serve"]
    given = _words().parse_args(container["args"][1:])
    assert given.port == container["ports"][0]["containerPort"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == given.probe_port
    assert value["spec"]["predictor"]["terminationGracePeriodSeconds"] > given.drain_s + given.grace_s


def needed(names: list[str]) -> set[str]:
    """Packages and what they need in turn, without what is never imported."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or name == NEVER_IMPORTED or not (one.marker is None or one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += [Requirement(line) for line in requires(name) or []]
    return found


def test_requirements() -> None:
    """All that the base installation needs, in the versions that are tested."""
    listed = (FILES / "requirements.txt").read_text().splitlines()
    pins = [line for line in listed if line and not line.startswith("#")]
    base = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {canonicalize_name(pin.split("==")[0]) for pin in pins} == needed(base)
    assert set(pins) <= set((ROOT / "constraints.txt").read_text().splitlines())
    assert "--no-deps -r /tmp/requirements.txt" in (FILES / "Dockerfile").read_text()
