"""What a launch says and how it ends, and that it keeps out of the way of a server's run."""

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from pipelines import clock, runs
from pipelines.dead_runs import TAG
from pipelines.failures import Problem
from pipelines.launch import EXIT_FAILED, EXIT_GATE, report
from pipelines.runs import served_run
from tests.pipelines.nights import CAMPAIGN, make_run

GATE = Problem("alignment", "check gate: reward alignment 0.52 < 0.60", gate=True)
ERROR = Problem("judge", "ZeroDivisionError: no frames", "  File judge.py, line 3\n")


@pytest.mark.parametrize(
    ("success", "problems", "status"),
    [
        (True, [], 0),
        (False, [GATE], EXIT_GATE),
        (False, [ERROR], EXIT_FAILED),
        (False, [GATE, ERROR], EXIT_FAILED),
        (False, [], EXIT_FAILED),
    ],
)
def test_how_a_run_ended_is_the_exit_status(success, problems, status, capsys):
    assert report("8f2e", success, problems) == status
    said = capsys.readouterr().err
    assert ("a gate of alignment failed in run 8f2e:\ncheck gate: reward" in said) is (GATE in problems)
    assert ("judge failed in run 8f2e:\nZeroDivisionError: no frames\n  File judge.py" in said) is (ERROR in problems)


def test_a_run_that_a_living_server_sees_to_is_left_to_it(instance):
    run = make_run(instance, dg.DagsterRunStatus.QUEUED)
    assert served_run(instance, CAMPAIGN) is None
    instance.add_daemon_heartbeat(DaemonHeartbeat(clock.now().timestamp(), "SCHEDULER", "here", []))
    assert served_run(instance, CAMPAIGN).run_id == run.run_id
    assert served_run(instance, "other") is None
    instance.wipe()
    make_run(instance, dg.DagsterRunStatus.STARTED, tags={TAG: "a process that launched it itself"})
    assert served_run(instance, CAMPAIGN) is None


def test_a_run_of_a_code_server_that_outlived_its_daemon_is_left_to_it(instance, monkeypatch):
    make_run(instance, dg.DagsterRunStatus.QUEUED)
    at_work = make_run(instance, dg.DagsterRunStatus.STARTED)
    assert served_run(instance, CAMPAIGN) is None  # neither has a code server
    monkeypatch.setattr(runs, "is_executed", lambda run: run.run_id == at_work.run_id)
    assert served_run(instance, CAMPAIGN).run_id == at_work.run_id
