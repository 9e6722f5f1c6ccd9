"""The cheap part of a real campaign, from simulator to audit, on PostgreSQL and S3; and what the servers listen on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.deployment import servers
from worldvla.home import project_root
from worldvla.lake.store import Lake

BIN = Path(sys.executable).parent


def _run(*command: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project_root(),
        env=os.environ | {"WORLDVLA_HOME": os.environ["WORLDVLA_HOME"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, done.stderr


@pytest.mark.slow
def test_demonstrations_are_made_asked_about_and_shown(
    on_postgres: servers.Postgres,
    on_s3: str,
    object_store: servers.ObjectStore,
    home: Path,
    leaked: Callable[[Path, str], list[Path]],
) -> None:
    said = _run("pipelines.launch", "--campaign", "test", "--assets", "demonstrations")
    lake = Lake(on_s3)
    episodes = lake.frame("episodes")
    assert len(episodes) == 6 and episodes["success"].all()
    frames = lake.read("frames", ["episode_id", "step", "image"])
    assert frames.num_rows == int((episodes["length"] + 1).sum()) and frames["image"].null_count == 0

    status = json.loads(_run("worldvla.cli.main", "status", "demonstrations", "--campaign", "test", "--json")[0])
    assert [(row["asset"], row["state"]) for row in status] == [("demonstrations", "fresh")]
    audit = json.loads(_run("worldvla.cli.main", "audit", "protocols", "--json")[0])
    assert audit == []
    again = _run("pipelines.launch", "--campaign", "test", "--assets", "demonstrations")
    assert lake.frame("episodes").equals(episodes)  # found by its fingerprint, not made again

    from pipelines.instance import open_instance

    with open_instance() as instance:
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS", "SUCCESS"]
    assert not (home / "lake").exists() and not list(home.rglob("*.db"))
    for secret in (on_postgres.password, object_store.secret):
        assert leaked(home, secret) == []
        assert secret not in "".join((*said, *again))


@pytest.mark.slow
def test_the_servers_of_make_ui_listen_on_this_machine_alone(
    on_postgres: servers.Postgres, home: Path, leaked: Callable[[Path, str], list[Path]]
) -> None:
    ports = {servers.free_port(), servers.free_port()}
    ui = subprocess.Popen(
        ["bash", str(project_root() / "setup" / "ui.sh"), *map(str, sorted(ports))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        listening = _listening(psutil.Process(ui.pid), ports)
        arguments = [" ".join(process.cmdline()) for process in psutil.Process(ui.pid).children(recursive=True)]
    finally:
        ui.send_signal(signal.SIGTERM)
        ui.communicate(timeout=60)
    assert ports <= {port for _, port in listening}
    assert {address for address, _ in listening} <= {"127.0.0.1", "::1"}
    assert not [line for line in arguments if on_postgres.password in line]
    assert leaked(home, on_postgres.password) == []


def _listening(process: psutil.Process, wanted: set[int]) -> set[tuple[str, int]]:
    """Addresses and ports that the process's children listen on, once the wanted ports are among them."""
    deadline = time.monotonic() + 240
    while True:
        found = set()
        for child in process.children(recursive=True):
            try:
                for connection in child.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((connection.laddr.ip, connection.laddr.port))
            except psutil.Error:
                continue
        if wanted <= {port for _, port in found} or time.monotonic() > deadline or not process.is_running():
            return found
        time.sleep(0.5)
