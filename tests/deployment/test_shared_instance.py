"""Several machines on one Dagster instance in PostgreSQL."""

from pathlib import Path

import dagster as dg
import pytest

from pipelines.dead_runs import settle_dead_runs, this_process
from pipelines.instance import open_instance
from tests.deployment import servers


def test_a_machine_leaves_the_living_runs_of_another_alone(
    on_postgres: servers.Postgres, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a home of its own, so the other cannot see the lock that says its process lives."""

    def on_machine(name: str) -> dg.DagsterInstance:
        monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / name))
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        return open_instance()

    with on_machine("first") as first, on_machine("second") as second:
        with this_process(first) as tags:
            run = first.create_run_for_job(_job(), tags=tags, status=dg.DagsterRunStatus.STARTED)
            assert settle_dead_runs(second) == [] and settle_dead_runs(first) == []
        assert settle_dead_runs(second) == []
        assert settle_dead_runs(first) == [run.run_id]
        assert second.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE


def _job() -> dg.JobDefinition:
    @dg.job
    def nothing() -> None: ...

    return nothing
