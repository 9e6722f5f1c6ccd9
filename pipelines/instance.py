"""The project's Dagster instance: `DAGSTER_HOME`, or `dagster` in the project's home."""

import os
import shutil
from pathlib import Path

import dagster as dg

from assets.partitions import CAMPAIGNS, ITERATIONS
from worldvla.home import home, project_root


def dagster_home() -> Path:
    """The instance's folder, with the project's `dagster.yaml` in it."""
    folder = Path(os.environ.get("DAGSTER_HOME") or home() / "dagster")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        shutil.copy(project_root() / "dagster.yaml", folder / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


def open_instance() -> dg.DagsterInstance:
    dagster_home()
    return dg.DagsterInstance.get()


def add_partitions(instance: dg.DagsterInstance, campaign: str, iteration: str) -> None:
    """Makes the campaign and the iteration known; both may be known already."""
    instance.add_dynamic_partitions(CAMPAIGNS.name, [campaign])
    if iteration:
        instance.add_dynamic_partitions(ITERATIONS.name, [iteration])
