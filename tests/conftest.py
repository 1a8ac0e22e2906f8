"""What every room's tests share: the data sets beside the repository, and a cache of their own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("CEIBA_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """The path of a file of the data sets; skips the test, with the reason, where it is absent."""

    def find(name: str) -> Path:
        path = ROOT / name
        if not path.exists():
            pytest.skip(f"the data set {name} is not in {ROOT}; set CEIBA_DATA")
        return path

    return find


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("CEIBA_CACHE")
    os.environ["CEIBA_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("CEIBA_CACHE")
    if before is not None:
        os.environ["CEIBA_CACHE"] = before
