"""Two loops of one campaign started at once, as real processes: one runs, the other is refused and told why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldvla.home import project_root


def start(home: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "worldvla.cli.main", "loop", "--campaign", "test"]
    environment = {key: value for key, value in os.environ.items() if key != "DAGSTER_HOME"}
    return subprocess.Popen(
        command,
        cwd=project_root(),
        env=environment | {"WORLDVLA_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_of_two_loops_started_at_once_one_runs_and_the_other_is_refused(tmp_path: Path) -> None:
    loops = [start(tmp_path), start(tmp_path)]
    try:
        deadline = time.monotonic() + 240
        while all(loop.poll() is None for loop in loops) and time.monotonic() < deadline:
            time.sleep(0.1)
        [refused] = [loop for loop in loops if loop.poll() is not None]
        [running] = [loop for loop in loops if loop.poll() is None]
        out, err = refused.communicate()
        assert (refused.returncode, out) == (2, "")
        assert f"campaign test is being run by process {running.pid}" in err and "nothing is lost" in err
        assert "Traceback" not in err
    finally:
        for loop in loops:
            if loop.poll() is None:
                os.killpg(loop.pid, signal.SIGKILL)
                loop.communicate()
