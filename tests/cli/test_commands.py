"""The commands as a person or a script runs them, on a real lake."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.planner import lakes
from worldvla.cli import rematerialize
from worldvla.cli.main import app
from worldvla.home import home as home_of_project
from worldvla.home import project_root
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import set_members
from worldvla.lake.materializations import latest, publish
from worldvla.lake.store import Lake
from worldvla.locks import campaign_lock
from worldvla.planner.execute import Outcome
from worldvla.planner.graph import GRAPH
from worldvla.planner.plan import Run

HEAVY = ("torch", "mlflow", "dagster", "lance", "polars", "duckdb", "pydantic")
KEYS = ["asset", "campaign", "iteration", "version", "materialized_at", "state", "reason"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path


@pytest.fixture
def lake(home: Path) -> Lake:
    lake = Lake(home / "lake")
    lakes.loop(lake)
    return lake


def start(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "worldvla.cli.main", *arguments]
    return subprocess.Popen(
        command, cwd=project_root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def answer(*arguments: str) -> list[dict]:
    """What a successful command prints with --json: one array of objects and nothing else."""
    status, out, err = run(*arguments, "--json")
    assert status == 0, err
    rows = json.loads(out)
    assert isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return rows


def test_status_has_every_node_with_the_promised_keys(lake):
    rows = answer("status")
    assert [list(row)[: len(KEYS)] for row in rows] == [KEYS] * len(rows)
    assert {row["state"] for row in rows} == {"fresh"}
    assert {row["iteration"] for row in rows} == {None, "0000", "0001"}
    assert answer("status", "--stale") == []
    more = answer("status", "--campaign", "test", "--iterations", "3", "--stale")
    assert {row["iteration"] for row in more} == {"0002"} and {row["state"] for row in more} == {"missing"}


def test_status_for_people_keeps_names_whole_on_a_pipe(lake):
    status, out, _ = run("status")
    assert status == 0 and "status of test" in out
    assert "pretrained_world_model" in out and "fresh" in out and "\x1b" not in out


def test_what_a_retraction_makes_stale_is_what_rematerialize_would_run(lake):
    episode = set_members(lake, latest(lake)["policy_rollouts", "test", "0000"].data_version)[0]
    stale = answer("retract", episode[:12], "--reason", "camera moved")
    reasons = {(row["asset"], row["iteration"]): row["reason"] for row in stale}
    assert reasons["failure_rollouts", "0000"] == "policy_rollouts lost 1 retracted episode (camera moved)"
    assert ("sans", "0001") in reasons and ("sans", "0000") not in reasons
    *nodes, total = answer("rematerialize", "--dry-run", "--explain")
    planned = [(row["iteration"], row["asset"]) for row in nodes]
    assert {row["kind"] for row in nodes} == {"node"} and total["kind"] == "total"
    assert total["planned_nodes"] == len(nodes) and total["full_rerun_nodes"] == len(nodes) + total["stay_fresh_nodes"]
    assert set(planned) == {(it, asset) for asset, it in reasons if not GRAPH[asset].feedback_from}
    assert planned == sorted(planned, key=lambda one: one[0]) and planned[0] == ("0000", "failure_rollouts")
    only = answer("rematerialize", "failure_rollouts", "--iteration", "0", "--dry-run")
    assert [(row["iteration"], row["asset"]) for row in only] == [("0000", "failure_rollouts")]
    assert lakes.not_fresh(lake)


def test_nothing_stale_means_nothing_runs(lake):
    before = lake.version("materializations")
    assert answer("rematerialize") == []
    status, out, err = run("rematerialize")
    assert (status, out, err) == (0, "", "nothing is stale\n")
    rows = answer("loop", "--campaign", "test", "--iterations", "2")
    assert [row["iteration"] for row in rows] == ["0000", "0001"]
    assert lake.version("materializations") == before


def test_a_named_asset_that_was_never_made_is_said(home):
    lakes.launcher(Lake(home / "lake"))(Run("test", "", ("demonstrations",), {}))
    left_out = "left out: base_policy of test, never materialized; add --only-cause missing, or use worldvla loop"
    for more in ((), ("--dry-run",), ("--dry-run", "--upstream")):
        status, out, err = run("rematerialize", "base_policy", "--campaign", "test", *more)
        assert (status, out, err.splitlines()) == (0, "", [left_out, "nothing is stale"])
    assert "never materialized" not in run("rematerialize", "demonstrations", "--dry-run")[2]
    planned = answer("rematerialize", "base_policy", "--only-cause", "missing", "--upstream", "--dry-run")
    assert planned[-1]["asset"] == "base_policy"


def test_to_go_on_is_the_command_that_finds_what_was_chosen(lake, monkeypatch):
    """What a cause chose may be stale by another one by then: what it reads has been made."""
    record = latest(lake)["keyframes", "test", "0001"]
    publish(lake, replace(record, code_version="0", materialized_at=datetime.now(UTC)), Commit("run", "keyframes"))
    told = []

    def failed(iterations, selection, again, via):
        told.append(again)
        return Outcome("failed", []), 1

    monkeypatch.setattr(rematerialize, "carry_out", failed)
    for words in (["--only-cause", "code"], ["keyframes", "--campaign", "test"]):
        assert CliRunner().invoke(app, ["rematerialize", *words]).exit_code == 1
    assert told[0].startswith("worldvla rematerialize keyframes ") and told[0].endswith(" --campaign test")
    assert "--only-cause" not in told[0]
    assert told[1] == "worldvla rematerialize keyframes --campaign test"


def test_a_home_that_is_a_file_is_named_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "file"))
    for words in (("status",), ("tonight",), ("loop", "--campaign", "test")):
        status, out, err = run(*words)
        assert (status, out) == (2, "") and "Traceback" not in err, err
        assert "file" in err.splitlines()[-1] and "WORLDVLA_HOME" in err.splitlines()[-1], err


def test_a_home_that_is_a_link_is_one_home(tmp_path, monkeypatch):
    """As where `var` leads to a larger disk."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "campaigns.yaml").write_text("")
    (tmp_path / "large").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "large")
    monkeypatch.delenv("WORLDVLA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert home_of_project() == tmp_path / "large"


def test_campaigns_lists_the_file_and_the_variants(home):
    (home / "campaigns").mkdir()
    (home / "campaigns" / "slow.yaml").write_text(yaml.safe_dump({"campaign": "test", "set": {"seed": 7}}))
    (home / "campaigns" / "lost.yaml").write_text(yaml.safe_dump({"campaign": "renamed", "set": {}}))
    rows = {row["campaign"]: row for row in answer("campaigns")}
    assert {"demo", "test", "slow"} <= set(rows) and rows["slow"]["seed"] == 7 and rows["slow"]["error"] is None
    assert rows["lost"]["seed"] is None and "lost.yaml, a variant of renamed" in rows["lost"]["error"]
    status, out, err = run("campaigns")
    assert status == 0 and "lost" in out and "lost cannot be run: " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("loop", "--campaign", "unheard"), "no campaign 'unheard'; the campaigns are demo, test"),
        (("status", "--campaign", "unheard"), "no campaign 'unheard'"),
        (("loop", "--campaign", "test", "--set", "rl.updates"), "write it as key=value"),
        (("loop", "--campaign", "test", "--set", "rl.update=3"), "rl.update"),
        (("loop", "--campaign", "test", "--name", "x"), "give its settings with --set"),
        (("rematerialize", "sanz"), "no asset sanz; the assets are demonstrations"),
        (("rematerialize", "--iteration", "one"), "give its number"),
        (("retract", "feedbeef", "--reason", "x"), "feedbeef"),
        (("loop",), "--campaign"),
        (("loop", "--campaign", "test", "--iterations", "0"), "--iterations"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(home, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_a_home_that_is_no_folder_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    status, out, err = run("loop", "--campaign", "test")
    assert (status, out) == (2, "") and "Traceback" not in err
    assert str(tmp_path / "file") in err and "WORLDVLA_HOME" in err


def test_a_failed_gate_is_said_and_left_out(home):
    lake = Lake(home / "lake")
    lakes.loop(lake, 1)
    record = latest(lake)["alignment", "test", "0000"]
    failed = replace(record, blocking_failure="reward alignment 0.52 < 0.60", materialized_at=datetime.now(UTC))
    publish(lake, failed, Commit("run", "alignment"))
    status, out, err = run("rematerialize", "--dry-run")
    assert status == 0
    assert "left out: rl_policy of test 0000, blocked: alignment gate failed: reward alignment 0.52 < 0.60" in err
    assert run("rematerialize")[0] == 3
    status, out, err = run("loop", "--campaign", "test", "--iterations", "1", "--json")
    assert status == 3 and "reward alignment 0.52 < 0.60" in err
    assert json.loads(out)[0]["gate"].startswith("failed: reward alignment 0.52")


def test_a_held_campaign_is_refused_by_the_pid_that_holds_it(lake):
    with campaign_lock("test"):
        status, out, err = run("loop", "--campaign", "test", "--iterations", "2")
    assert (status, out) == (2, "")
    assert f"campaign test is being run by process {os.getpid()}" in err
    assert run("loop", "--campaign", "test", "--iterations", "2")[0] == 0


def test_a_killed_loop_leaves_no_run_behind(home):
    process = start("loop", "--campaign", "test")
    try:
        run_pid = _child(process.pid)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    deadline = time.monotonic() + 10
    while _lives(run_pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(run_pid)
    with campaign_lock("test"):
        pass


def test_a_run_that_was_killed_says_so(home):
    """Where the kernel did it for want of memory, nothing else tells."""
    process = start("loop", "--campaign", "test", start_new_session=True)
    os.kill(_child(process.pid), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert "killed by SIGKILL (for want of memory, if nobody did it" in err, err
    assert process.returncode == 1, err


def test_ctrl_c_ends_a_loop_with_a_word_on_how_to_go_on(home):
    process = start("loop", "--campaign", "test", start_new_session=True)
    run_pid = _child(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes of the command
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "stopped; the same command takes it up again"
    assert not _lives(run_pid)


def test_help_needs_none_of_the_heavy_libraries():
    code = f"import sys, worldvla.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def _child(pid: int) -> int:
    """The pid of a process's first child, once it has one."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.05)
    raise AssertionError("the loop launched nothing")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
