"""The files for Docker, systemd and KServe call the server with options that it knows."""

import json
import re
import shlex
from pathlib import Path

import yaml

from ceiba.cli.serve import _words

FILES = Path(__file__).resolve().parents[2] / "docs" / "serving"


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
