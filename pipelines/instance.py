"""The project's Dagster instance: `DAGSTER_HOME`, or `dagster` in the project's home.

It keeps its records in SQLite there, or in the PostgreSQL database that `DAGSTER_POSTGRES_URL`
names. `python -m pipelines.instance` prepares the folder and prints it.
"""

import os
import tempfile
from pathlib import Path

import dagster as dg

from assets.partitions import CAMPAIGNS, ITERATIONS
from worldvla.errors import told
from worldvla.home import home, project_root
from worldvla.services import DAGSTER_POSTGRES, check_databases, with_driver
from worldvla.whole_file import write_whole

# Where Dagster keeps its SQLite databases, in its home.
DATABASES = ("history", "schedules")
# Dagster reads the address from the environment whenever it opens the instance, so no file holds the password.
POSTGRES_STORAGE = f"""
storage:
  postgres:
    postgres_url:
      env: {DAGSTER_POSTGRES}
"""


def dagster_home() -> Path:
    """The instance's folder, with its `dagster.yaml`: the project's, and where its records are kept.

    A `dagster.yaml` in a folder that `DAGSTER_HOME` names is its owner's, and stays.
    """
    own = home() / "dagster"
    folder = Path(os.environ.get("DAGSTER_HOME") or own).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "dagster.yaml"
    text = (project_root() / "dagster.yaml").read_text()
    if url := os.environ.get(DAGSTER_POSTGRES):
        os.environ[DAGSTER_POSTGRES] = with_driver(url)
        text += POSTGRES_STORAGE
    if not file.exists() or (folder == own and file.read_text() != text):
        write_whole(file, text)
    if not url and file.read_text() == text and not all((folder / name).exists() for name in DATABASES):
        _make_databases(folder, text)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


def open_instance() -> dg.DagsterInstance:
    """Raises `UserError` when a database that the environment names does not answer."""
    check_databases()
    dagster_home()
    return dg.DagsterInstance.get()


def _make_databases(folder: Path, text: str) -> None:
    """Whole or not at all: Dagster never completes a database whose making was cut off, nor works with it."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".databases-") as scratch:
        (Path(scratch) / "dagster.yaml").write_text(text)
        with dg.DagsterInstance.from_config(scratch):
            pass
        for name in DATABASES:
            try:
                os.rename(Path(scratch) / name, folder / name)
            except OSError:
                if not (folder / name).exists():  # else another process was first
                    raise


def add_partitions(instance: dg.DagsterInstance, campaign: str, iteration: str) -> None:
    """Makes the campaign and the iteration known; both may be known already."""
    instance.add_dynamic_partitions(CAMPAIGNS.name, [campaign])
    if iteration:
        instance.add_dynamic_partitions(ITERATIONS.name, [iteration])


if __name__ == "__main__":
    with told():
        check_databases()
        print(dagster_home())
