"""Databases that are made on first use: a kill while one is made leaves nothing that the next use stumbles over."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.instance import open_instance
from worldvla.home import environment, project_root

pytestmark = pytest.mark.slow

# Ends as if killed before its n-th SQL statement, and says how many there were where n is none of them.
KILLED = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine

statements = 0

@event.listens_for(Engine, "before_cursor_execute")
def count(*_):
    global statements
    statements += 1
    if statements == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

{use}
print(statements)
"""
USES = {
    "Dagster": """
from pipelines.instance import add_partitions, open_instance
with open_instance() as instance:
    add_partitions(instance, "test", "0000")
    assert instance.get_dynamic_partitions("campaign") == ["test"]
""",
    "MLflow": """
from worldvla.tracking.client import client
tracking = client()
if tracking.get_experiment_by_name("test") is None:
    tracking.create_experiment("test")
assert tracking.get_experiment_by_name("test").name == "test"
""",
}


def use(name: str, home: Path, killed_before: int = 0) -> subprocess.CompletedProcess:
    environment = {**os.environ, "WORLDVLA_HOME": str(home), "PYTHONPATH": str(project_root())}
    for variable in ("DAGSTER_HOME", "DAGSTER_POSTGRES_URL", "MLFLOW_TRACKING_URI"):
        environment.pop(variable, None)
    return subprocess.run(
        [sys.executable, "-c", KILLED.format(use=USES[name]), str(killed_before)],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", USES)
def test_a_first_use_that_was_killed_is_taken_up_by_the_next(name: str, tmp_path: Path):
    undisturbed = use(name, tmp_path)
    assert undisturbed.returncode == 0, undisturbed.stderr
    statements = int(undisturbed.stdout)
    for share in (0.2, 0.35, 0.5, 0.85):
        home = tmp_path / str(share)
        home.mkdir()
        assert use(name, home, killed_before=round(share * statements)).returncode == -signal.SIGKILL
        after = use(name, home)
        assert after.returncode == 0, f"killed at {share} of {statements} statements: {after.stderr}"


@pytest.mark.parametrize("module", ["pipelines.instance", "pipelines.dead_runs", "worldvla.tracking.client"])
def test_a_database_that_does_not_answer_is_one_line_to_whoever_starts_the_servers(module: str, tmp_path: Path):
    environment = {**os.environ, "WORLDVLA_HOME": str(tmp_path)}
    environment["DAGSTER_POSTGRES_URL"] = "postgresql://user:pg-secret@127.0.0.1:9/dagster"
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=project_root(), env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error: DAGSTER_POSTGRES_URL: ") and "pg-secret" not in line


def test_a_relative_dagster_home_is_where_the_command_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(project_root() / "pipelines" / "campaigns.yaml"))
    monkeypatch.setenv("DAGSTER_HOME", "ours")
    assert environment()["DAGSTER_HOME"] == str(tmp_path / "ours")
    with open_instance() as instance:
        assert Path(instance.root_directory) == tmp_path / "ours"
