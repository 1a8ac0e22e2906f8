"""Two processes train as one does, and take over from one another in the middle of an epoch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("ranks.py")
STEPS = 4 * 13
NEVER = -1


def launch(folder: Path, ranks: int, parallel: str = "ddp", stop_at: int = NEVER, resume: bool = False) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    told = [str(folder), parallel, str(stop_at), "resume" if resume else "anew"]
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), *told], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["train_loss"] for line in lines if "lr" in line}


def rows(folder: Path) -> dict[int, list[int]]:
    """The rows of each step over all processes; a step that two runs began has those of both."""
    found: dict[int, list[int]] = {}
    for path in sorted(folder.glob("rows-*.jsonl")):
        for line in path.read_text().splitlines():
            one = json.loads(line)
            found.setdefault(one["step"], []).extend(one["rows"])
    return {step: sorted(found) for step, found in found.items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    launch(folder, 1)
    return folder


def near(folder: Path, alone: Path) -> bool:
    expected = losses(alone)
    assert len(expected) == STEPS
    return losses(folder) == {step: pytest.approx(loss, rel=1e-5) for step, loss in expected.items()}


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_give_the_losses_of_one(tmp_path: Path, alone: Path, parallel: str) -> None:
    launch(tmp_path, 2, parallel)
    assert near(tmp_path, alone)
    assert rows(tmp_path) == rows(alone)


def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, alone: Path) -> None:
    launch(tmp_path, 2, "fsdp", stop_at=15)
    assert [(tmp_path / f"exit-{rank}").read_text() for rank in range(2)] == ["143", "143"]
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert kept.name == "step-000000016"
    launch(tmp_path, 1, stop_at=33, resume=True)
    launch(tmp_path, 2, "ddp", resume=True)
    assert near(tmp_path, alone)
    assert rows(tmp_path) == rows(alone)
