"""Rows that occur twice: counted, and of many rows estimated from a share of their hashes."""

import numpy as np
import pyarrow as pa
import pytest

from ceiba.prepare import duplicates, profile
from ceiba.prepare.duplicates import find_duplicates
from ceiba.read import open_frame


def parts() -> dict[str, object]:
    first = pa.table({"a": np.r_[np.arange(8000), np.arange(3000)], "b": np.full(11_000, 1)})
    return {
        "train": open_frame(first),
        "test": open_frame(pa.table({"a": np.arange(7000, 9000), "b": np.ones(2000, int)})),
    }


def test_they_are_counted() -> None:
    found = find_duplicates(parts(), ("a", "b"))  # type: ignore[arg-type]
    assert (found.within, found.across, found.is_exact) == ({"train": 3000, "test": 0}, {"test": 1000}, True)


def test_of_many_rows_they_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_HASHES", 3000)
    found = find_duplicates(parts(), ("a", "b"))  # type: ignore[arg-type]
    assert not found.is_exact
    assert found.within["train"] == pytest.approx(3000, rel=0.15)
    assert found.within["test"] == 0
    assert found.across["test"] == pytest.approx(1000, rel=0.2)
    told = [one.text for one in profile(parts()["train"]).warnings if "repeat the inputs" in one.text]
    assert len(told) == 1
    assert told[0].startswith("about 3")
