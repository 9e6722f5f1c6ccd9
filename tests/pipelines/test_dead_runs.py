"""A killed run must not keep its pool slot from the run that repairs it."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

from pipelines.dead_runs import TAG, settle_dead_runs, settle_served_runs
from worldvla.home import project_root

LAUNCH = textwrap.dedent(
    """
    import sys, time
    import dagster as dg
    from pipelines.dead_runs import settle_dead_runs, this_process

    @dg.asset(pool="simulator")
    def rollouts():
        print("computing", flush=True)
        time.sleep(float(sys.argv[1]))

    with dg.DagsterInstance.get() as instance, this_process(instance) as tag:
        settle_dead_runs(instance)
        raise SystemExit(not dg.materialize([rollouts], instance=instance, tags=tag).success)
    """
)


@dg.asset(pool="simulator")
def rollouts() -> None: ...


rollouts_job = dg.Definitions(
    assets=[rollouts], jobs=[dg.define_asset_job("rollouts_job", [rollouts])]
).resolve_job_def("rollouts_job")


def test_the_next_run_takes_the_slot_of_a_killed_one(tmp_path: Path) -> None:
    shutil.copy(project_root() / "dagster.yaml", tmp_path / "dagster.yaml")
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(project_root())}
    command = [sys.executable, "-c", LAUNCH]

    with subprocess.Popen([*command, "600"], env=environment, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "computing\n"
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert settle_dead_runs(instance) == []
        killed.kill()

    subprocess.run([*command, "0"], env=environment, check=True, timeout=60)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        statuses = [run.status for run in instance.get_runs()]
        assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    assert list((tmp_path / "processes").iterdir()) == []


def test_what_a_server_left_is_settled_before_the_next_one_starts(tmp_path: Path) -> None:
    shutil.copy(project_root() / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        states = {
            "served": (dg.DagsterRunStatus.STARTED, {GRPC_INFO_TAG: json.dumps({"socket": str(tmp_path / "gone")})}),
            "of a command": (dg.DagsterRunStatus.STARTED, {TAG: "some"}),
        }
        runs = {
            name: instance.create_run_for_job(rollouts_job, status=status, tags=tags).run_id
            for name, (status, tags) in states.items()
        }
        slots = instance.event_log_storage
        slots.set_concurrency_slots("simulator", 1)
        assert slots.claim_concurrency_slot("simulator", runs["served"], "rollouts").is_claimed
        assert settle_served_runs(instance) == [runs["served"]]
        assert instance.get_run_by_id(runs["served"]).status is dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(runs["of a command"]).status is dg.DagsterRunStatus.STARTED
        assert slots.claim_concurrency_slot("simulator", runs["of a command"], "rollouts").is_claimed
