"""Two processes train as one does, and take over from one another in the middle of an epoch."""

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("ranks.py")
STEPS = 4 * 13
NEVER = -1


def launch(
    folder: Path, ranks: int, parallel: str = "ddp", stop_at: int = NEVER, resume: bool = False, **options: object
) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    told = [str(folder), parallel, str(stop_at), "resume" if resume else "anew", json.dumps(options)]
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
    figures = validations(tmp_path)
    assert len(figures) == 4
    assert figures == [pytest.approx(row, rel=1e-5) for row in validations(alone)]
    first, second = ([json.loads(line) for line in (tmp_path / f"valid-{rank}.jsonl").read_text().splitlines()]
                     for rank in range(2))  # fmt: skip
    assert len(first) == len(second) == 4 * 4  # the last batch has one row: the second process passes one for nothing
    assert sorted(chain(*first[:4], *second[:4])) == list(range(205))
    assert second[3] == []


def validations(folder: Path) -> list[dict[str, float]]:
    """The figures of each epoch."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if "valid" in name} for line in lines if "epoch" in line]


def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, alone: Path) -> None:
    launch(tmp_path, 2, "fsdp", stop_at=15)
    assert [(tmp_path / f"exit-{rank}").read_text() for rank in range(2)] == ["143", "143"]
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert kept.name == "step-000000016"
    launch(tmp_path, 1, stop_at=33, resume=True)
    launch(tmp_path, 2, "ddp", resume=True)
    assert near(tmp_path, alone)
    assert rows(tmp_path) == rows(alone)


def test_muon_makes_the_same_steps_where_its_matrices_are_cut(tmp_path: Path) -> None:
    """But for bfloat16, in which it makes them orthogonal, and whose sums depend on how a matrix is cut."""
    options = {"optimizer": {"type": "muon", "lr": 0.003}, "epochs": 2}
    launch(tmp_path / "alone", 1, **options)
    launch(tmp_path / "cut", 2, "fsdp", **options)
    one, two = losses(tmp_path / "alone"), losses(tmp_path / "cut")
    assert len(one) == STEPS / 2
    assert two == {step: pytest.approx(loss, rel=0.01) for step, loss in one.items()}
    assert one[26] < 0.98 * one[1]


def test_time_is_over_for_all_at_once(tmp_path: Path) -> None:
    launch(tmp_path, 2, max_time=0.001)
    assert [(tmp_path / f"exit-{rank}").read_text() for rank in range(2)] == ["0", "0"]
    assert len(validations(tmp_path)) == 1
    assert list(losses(tmp_path)) == [1]
