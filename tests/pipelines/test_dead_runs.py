"""A killed run must not keep its pool slot from the run that repairs it."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import dagster as dg

from pipelines.dead_runs import settle_dead_runs
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
