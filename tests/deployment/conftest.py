"""The servers, once a session, and environments that choose them."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.deployment import servers

NUMBERS = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def object_store() -> Iterator[servers.ObjectStore]:
    with servers.object_store() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, on the embedded default."""
    for name in ("DAGSTER_HOME", "DAGSTER_POSTGRES_URL", "MLFLOW_TRACKING_URI", "WORLDVLA_LAKE"):
        monkeypatch.setenv(name, "")  # so that what the code sets in its place goes with the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def on_postgres(home: Path, postgres: servers.Postgres, monkeypatch: pytest.MonkeyPatch) -> servers.Postgres:
    """Dagster and MLflow in databases of the test's own."""
    number = next(NUMBERS)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres.create(f"dagster_{number}"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres.create(f"mlflow_{number}"))
    return postgres


@pytest.fixture
def on_s3(home: Path, object_store: servers.ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """The lake, and MLflow's files, in the object store; the lake's address."""
    number = next(NUMBERS)
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    address = object_store.address(f"lake-{number}")
    monkeypatch.setenv("WORLDVLA_LAKE", address)
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", object_store.address(f"mlflow-{number}"))
    return address


@pytest.fixture
def leaked() -> Callable[[Path, str], list[Path]]:
    """The files under a folder that hold a secret."""

    def search(folder: Path, secret: str) -> list[Path]:
        return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]

    return search
