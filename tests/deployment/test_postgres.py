"""Dagster and MLflow in PostgreSQL, chosen by environment variables alone."""

import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pipelines.instance import add_partitions, dagster_home, open_instance
from tests.deployment import servers
from worldvla.errors import UserError
from worldvla.home import mlflow_place
from worldvla.services import check_databases
from worldvla.tracking.champion import champion, promote, registered_name
from worldvla.tracking.client import client
from worldvla.tracking.training_run import MODEL_TAG, DatasetReference, training_run

DATASET = DatasetReference("episodes", "/lake/episodes.lance", 3, "0123abcd", 12)
Leaked = Callable[[Path, str], list[Path]]


@dg.asset(pool="training")
def first() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 3}, data_version=dg.DataVersion("abc"))


@dg.asset(deps=[first])
def second(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult()


def test_dagster_runs_are_recorded_in_postgres(on_postgres: servers.Postgres, home: Path, leaked: Leaked) -> None:
    with open_instance() as instance:
        add_partitions(instance, "demo", "0000")
        result = dg.materialize([first, second], instance=instance, tags={"made": "here"})
        assert result.success
    with open_instance() as instance:  # another connection finds what the first one wrote
        assert "Postgres" in type(instance.run_storage).__name__
        [run] = instance.get_runs(dg.RunsFilter(tags={"made": "here"}))
        assert (run.run_id, run.status) == (result.run_id, dg.DagsterRunStatus.SUCCESS)
        event = instance.get_latest_materialization_event(dg.AssetKey("first"))
        assert event.asset_materialization.tags["dagster/data_version"] == "abc"
        assert instance.get_dynamic_partitions("campaign") == ["demo"]
        assert instance.event_log_storage.get_concurrency_info("training").slot_count == 1
    assert not list(home.rglob("*.db"))
    assert leaked(home, on_postgres.password) == []


def test_without_the_variable_dagster_uses_sqlite_again(
    on_postgres: servers.Postgres, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "postgres_url" in (dagster_home() / "dagster.yaml").read_text()
    monkeypatch.delenv("DAGSTER_POSTGRES_URL")
    monkeypatch.delenv("DAGSTER_HOME")
    with open_instance() as instance:
        assert "Sqlite" in type(instance.run_storage).__name__


def test_a_configuration_of_the_users_own_stays(
    on_postgres: servers.Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert (dagster_home() / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_mlflow_runs_models_and_champions_are_recorded_in_postgres(
    on_postgres: servers.Postgres, home: Path, leaked: Leaked
) -> None:
    with training_run("demo", "base_policy", "f1", {"sizes": {"width": 48}}, DATASET) as run:
        run.log(1, {"loss": 0.5})
        name = run.register(registered_name("demo"), "model-1", "base_policy", {"width": 48}, b"weights", [])
    promote("demo", "model-1", lambda: pytest.fail("MLflow knows it"))
    assert champion("demo") == "model-1"
    found = client().get_run(run.run_id)
    assert (found.info.status, found.data.metrics["loss"]) == ("FINISHED", 0.5)
    assert client().get_model_version(*name.removeprefix("models:/").split("/")).tags[MODEL_TAG] == "model-1"
    assert list((home / "mlflow" / "artifacts").rglob("weights.safetensors"))
    assert not list(home.rglob("*.db"))
    assert leaked(home, on_postgres.password) == []
    assert on_postgres.password not in mlflow_place() and str(on_postgres.port) in mlflow_place()


@pytest.mark.parametrize("variable", ["DAGSTER_POSTGRES_URL", "MLFLOW_TRACKING_URI"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url, port: url.replace("pg-secret-", "pg-secret-wrong-"), "password authentication failed"),
        (lambda url, port: url.replace(f":{port}/", f":{servers.free_port()}/"), "Connection refused"),
        (lambda url, port: url + "_missing", "does not exist"),
        (lambda url, port: url.replace("postgresql://", "postgresql:"), "write it as postgresql://"),
        (lambda url, port: url.rpartition("/")[0], "write it as postgresql://"),
    ],
)
def test_a_database_that_does_not_answer_is_one_line(
    on_postgres: servers.Postgres, monkeypatch: pytest.MonkeyPatch, variable: str, change: Callable, said: str
) -> None:
    monkeypatch.setenv(variable, change(os.environ[variable], on_postgres.port))
    with pytest.raises(UserError) as caught:
        check_databases()
    text = str(caught.value)
    assert variable in text and said in text and "\n" not in text
    assert "pg-secret" not in text


def test_one_database_for_both_is_refused(on_postgres: servers.Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", os.environ["DAGSTER_POSTGRES_URL"])
    with pytest.raises(UserError, match="name the same database"):
        open_instance()
