"""MLflow's client on the project's tracking server or database, which is made on first use."""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from worldvla.errors import told
from worldvla.home import home, mlflow_uri
from worldvla.services import check_databases


def client() -> Any:
    """An MLflow client; `UserError` when a database does not answer."""
    check_databases()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    (home() / "mlflow").mkdir(parents=True, exist_ok=True)
    import mlflow

    # Alembic reports each of its migrations on a first use.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if mlflow_uri().startswith("sqlite:"):
        _make(mlflow_uri())
    mlflow.set_tracking_uri(mlflow_uri())
    return mlflow.MlflowClient()


def _make(address: str) -> None:
    """A SQLite database, whole or not at all: one whose migrations were cut off, MLflow neither completes nor opens."""
    from mlflow import MlflowClient
    from sqlalchemy.engine import make_url

    url = make_url(address)
    database = Path(url.database or "")
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".mlflow-") as scratch:
        made = Path(scratch) / database.name
        MlflowClient(str(url.set(database=str(made)))).search_experiments(max_results=1)
        try:
            os.link(made, database)
        except FileExistsError:  # another process was first
            pass


if __name__ == "__main__":
    with told():
        client()
