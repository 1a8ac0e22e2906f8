"""The helping process: it answers, tells what went wrong, and ends with the process that made it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a helper is forked on Linux alone")


def script(text: str) -> list[str]:
    """A process that has loaded nothing but the helper: only such a one may fork."""
    return [sys.executable, "-c", "from ceiba.base.side_process import *\n" + textwrap.dedent(text)]


def output(text: str) -> str:
    done = subprocess.run(script(text), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_answers_in_a_process_of_its_own() -> None:
    found = output("""
        import math, os
        other = Helper("math")
        print(other.call(math.hypot, 3, 4), other.call(os.getpid) == other.process != os.getpid())
    """)
    assert found == "5.0 True"


def test_what_went_wrong_there_is_raised_here() -> None:
    found = output("""
        import math
        from ceiba.base.errors import InputError
        other = Helper("no.such.module")
        try:
            other.call(math.sqrt, -1)
        except ValueError as error:
            print("sqrt", type(error).__name__)
        try:
            raise other.call(InputError, "A rule", 3, "Mend it")
        except InputError as error:
            print(error, error.got)
        print(other.call(math.sqrt, 4))
    """)
    assert found.splitlines() == ["sqrt ValueError", "A rule. Got 3. Mend it. 3", "2.0"]


def test_a_helper_that_is_gone_is_told() -> None:
    found = output("""
        import os, signal
        other = Helper()
        os.kill(other.process, signal.SIGKILL)
        try:
            other.call(os.getpid)
        except ChildProcessError as error:
            print(error)
    """)
    assert found == "the helping process ended"


def is_alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def ends(process: int) -> bool:
    """Whether it is gone within ten seconds; it is gone afterwards in any case."""
    for _ in range(100):
        if not is_alive(process):
            return True
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)
    return False


def test_it_outlives_a_request_to_stop_but_not_its_maker() -> None:
    main = subprocess.Popen(script("""
        import time
        other = Helper()
        print(other.process, flush=True)
        time.sleep(60)
    """), stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert main.stdout is not None
    with main.stdout:
        process = int(main.stdout.readline())
        time.sleep(0.5)
        os.kill(process, signal.SIGTERM)
        time.sleep(0.2)
        assert is_alive(process)
        main.kill()
        main.wait()
    assert ends(process), "the helper outlived its maker"


def test_it_stands_still_while_something_is_measured_and_then_answers() -> None:
    found = output("""
        import os, time
        start_helper()
        def state():
            return open(f"/proc/{helper().process}/stat").read().split(") ")[1][0]
        with paused():
            time.sleep(0.3)
            print(state())
        print(helper().call(os.getpid) == helper().process)
    """)
    assert found == "T\nTrue"


def test_a_helper_that_stands_still_does_not_outlive_its_maker() -> None:
    main = subprocess.Popen(script("""
        import time
        start_helper()
        time.sleep(0.5)
        with paused():
            print(helper().process, flush=True)
            time.sleep(60)
    """), stdout=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    assert main.stdout is not None
    with main.stdout:
        process = int(main.stdout.readline())
        assert is_alive(process)
        main.kill()
        main.wait()
    assert ends(process), "the helper outlived its maker"
