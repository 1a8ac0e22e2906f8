"""The command as a process: what it does not import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
from ceiba import __main__ as command
def leave(code):
    print("pandas" in sys.modules, "torch" in sys.modules, code)
    sys.stdout.flush()
    exit_now(code)
exit_now, os._exit = os._exit, leave
sys.argv = ["ceiba", *sys.argv[1:]]
command.command()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the helper is forked on Linux alone")
def test_a_training_leaves_pandas_alone(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,word,y\n" + "".join(f"{one},w{one % 3},{one % 2}\n" for one in range(60)))
    words = ["train", "rows.csv", "--target", "y", "--out", "run", "--set", "train.epochs=1"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False True 0", done.stderr
