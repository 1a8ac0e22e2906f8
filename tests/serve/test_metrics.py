"""What is counted."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ceiba.serve.metric_files import VARIABLE
from ceiba.serve.metrics import Durations

SECONDS = [0.0, 0.1, 0.1000001, 0.5, 0.5, 3.0, 1.0]


def told(name: str, at_once: bool) -> dict[str, float]:
    histogram = Durations(name, "Seconds.", ["model"], buckets=(0.1, 0.5, 1.0), registry=CollectorRegistry())
    one = histogram.labels("a")
    if at_once:
        one.observe_all(SECONDS[:3])
        one.observe_all(SECONDS[3:])
    else:
        for seconds in SECONDS:
            one.observe(seconds)
    samples = [sample for family in histogram.collect() for sample in family.samples]
    found = {sample.name.removeprefix(name) + sample.labels.get("le", ""): sample.value for sample in samples}
    assert found.pop("_created") > 0
    return found


def test_many_durations_at_once_count_as_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    found = told("at_once", True)
    assert found == told("one_by_one", False)
    assert found["_bucket0.1"] == 2
    assert found["_bucket+Inf"] == len(SECONDS)
