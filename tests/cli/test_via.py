"""`--via`: a mistake about the server ends the command as a mistake, before anything runs."""

import os
import subprocess
import sys

import pytest

from worldvla.home import project_root


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_server_that_is_not_there_is_one_message_and_status_2(tmp_path, by_variable):
    url = "http://127.0.0.1:1"  # nothing listens on this port, which only root may open
    environment = os.environ | {"WORLDVLA_HOME": str(tmp_path)} | ({"WORLDVLA_VIA": url} if by_variable else {})
    environment.pop("DAGSTER_HOME", None)
    command = [sys.executable, "-m", "worldvla.cli.main", "loop", "--campaign", "test", "--json"]
    command += [] if by_variable else ["--via", url]
    done = subprocess.run(command, cwd=project_root(), env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        f"error: --via {url}: nobody answers there; start the server with `make ui`, or leave --via out" in done.stderr
    )
    assert "Traceback" not in done.stderr and "did not complete" not in done.stderr
    assert not (tmp_path / "lake").exists()
