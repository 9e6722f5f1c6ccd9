"""Runs through a Dagster that is really running: web server and daemon on a free port, a home of their own."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest

from pipelines.dead_runs import settle_served_runs
from pipelines.instance import dagster_home
from pipelines.runs import PARTITION_TAG
from pipelines.server import Server
from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.lake.episodes import set_members
from worldvla.lake.materializations import latest
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH

# The machine may be busy: a web server that loads a code location takes seconds, or minutes.
PATIENCE_SECONDS = 400
PROGRAMS = Path(sys.executable).parent


@dataclass
class Running:
    """A home and the web server over it."""

    home: Path
    port: int
    environment: dict[str, str]
    processes: list[subprocess.Popen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, program: str, *arguments: str) -> None:
        with (self.home / f"{program}.log").open("w") as log:
            code = ["--working-directory", str(project_root()), "--module-name", "pipelines.definitions"]
            command = [str(PROGRAMS / program), *arguments, *code]
            self.processes.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
            )

    def serve(self) -> None:
        self.start("dagster-webserver", "--host", "127.0.0.1", "--port", str(self.port))

    def launch(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "pipelines.launch", "--via", self.url, "--campaign", "test", *arguments]
        return subprocess.Popen(
            command, cwd=project_root(), env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def launched(self, *arguments: str) -> tuple[int, str]:
        """The exit status of a launch and what it says."""
        process = self.launch(*arguments)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, said

    def runs(self) -> list[dg.DagsterRun]:
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            return list(instance.get_runs())


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Running]:
    """A web server; its daemon is started by the test that needs one."""
    home = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDVLA_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        dagster_home()
        server = Running(home, free_port(), dict(os.environ))
        server.serve()
        try:
            wait_for(server)
            yield server
        finally:
            for process in server.processes:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(timeout=60)


def wait_for(server: Running) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.processes[0].poll() is None:
        try:
            urllib.request.urlopen(f"{server.url}/server_info", timeout=60).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError((server.home / "dagster-webserver.log").read_text()[-4000:])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def any_web_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_runs_queue_survive_the_command_and_are_waited_for_again(running):
    """Ctrl-C leaves the queued run with the server; with a daemon, the same command sees it through."""
    first = running.launch("--assets", "demonstrations,perturbed_demonstrations")
    said = ""
    while "goes on at" not in said and "/runs/" not in said and first.poll() is None:
        said += first.stderr.readline()
    [queued] = running.runs()
    assert queued.status is dg.DagsterRunStatus.QUEUED and queued.tags[PARTITION_TAG] == "test"
    assert "daemon of" in said and "is not running" in said
    first.send_signal(signal.SIGINT)
    _, rest = first.communicate(timeout=60)
    assert first.returncode == 130 and f"run {queued.run_id} goes on at {running.url}/runs/" in said + rest

    running.start("dagster-daemon", "run")
    # Also where the run has published a part meanwhile, which is not asked for any more.
    again = running.launch("--assets", "demonstrations")
    while running.runs()[0].status is not dg.DagsterRunStatus.STARTED and again.poll() is None:
        time.sleep(0.2)
    with dg.DagsterInstance.from_config(str(running.home / "dagster")) as instance:
        assert settle_served_runs(instance) == []  # its code server lives and is at work on it
    # The web server begins anew, as after an update: the run does not need it, and whoever follows waits for it.
    web = running.processes.pop(0)
    os.killpg(web.pid, signal.SIGTERM)
    web.wait(timeout=60)
    running.serve()
    running.processes.insert(0, running.processes.pop())
    _, said = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0, said
    assert f"run {queued.run_id} is under way (queued): waiting for it" in said
    [done] = running.runs()
    assert (done.run_id, done.status) == (queued.run_id, dg.DagsterRunStatus.SUCCESS)
    lake = Lake(running.home / "lake")
    record = latest(lake)["demonstrations", "test", ""]
    assert record.run_id == queued.run_id and len(set_members(lake, record.data_version)) == 6

    # A failure is told as a run in this process would tell it.
    status, said = running.launched("--iteration", "0000", "--assets", "keyframes")
    assert status == 1
    assert "keyframes failed in run" in said
    assert "sans of test, iteration 0000 was never materialized: run `worldvla loop --campaign test` first" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_server_over_another_lake_or_of_other_code_is_refused(running, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(running.home))
    assert Server(running.url).run_page("abc") == f"{running.url}/runs/abc"
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=f"another home: {running.home}, .*{tmp_path}; give both the same WORLDVLA_HOME"
    ):
        Server(running.url)
    monkeypatch.setenv("WORLDVLA_HOME", str(running.home))
    monkeypatch.setenv("WORLDVLA_LAKE", str(tmp_path))
    with pytest.raises(UserError, match="another lake: .* give both the same WORLDVLA_LAKE"):
        Server(running.url)
    monkeypatch.delenv("WORLDVLA_LAKE")
    monkeypatch.setitem(GRAPH, "sans", replace(GRAPH["sans"], code_version="99"))
    with pytest.raises(UserError, match=r"has loaded other code \(sans differ\); reload its code location"):
        Server(running.url)


def test_nobody_answers():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match="nobody answers there; start the server with `make ui`, or leave --via out"):
        Server(url)


def test_a_web_server_that_is_not_dagsters():
    with any_web_server() as url, pytest.raises(UserError, match="this is no Dagster web server"):
        Server(url)


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://localhost", "http://"])
def test_an_address_that_is_none(url):
    with pytest.raises(UserError, match="give the web server's address"):
        Server(url)
