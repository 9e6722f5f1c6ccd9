"""Where things are: the project's files and the data it keeps.

`WORLDVLA_HOME` names the folder of all data (default: `var` in the project).
`WORLDVLA_CAMPAIGNS` names the campaigns file (default: `pipelines/campaigns.yaml`).
"""

import os
from pathlib import Path

from worldvla.errors import UserError


def project_root() -> Path:
    """The folder that holds `pipelines/` and `sql/`: the nearest above the working folder, or the checkout."""
    for folder in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parent.parent):
        if (folder / "pipelines" / "campaigns.yaml").exists():
            return folder
    raise UserError("no worldvla project here: run the command inside a checkout that holds pipelines/campaigns.yaml")


def home() -> Path:
    value = os.environ.get("WORLDVLA_HOME")
    return Path(value).resolve() if value else project_root() / "var"


def lake_root() -> Path:
    return home() / "lake"


def checkpoint_directory(fingerprint: str) -> Path:
    """Where the training with this fingerprint keeps what it needs to resume."""
    return home() / "checkpoints" / fingerprint


def reports_directory() -> Path:
    return home() / "reports"


def variants_directory() -> Path:
    """Campaigns made with `--set`, one YAML file each."""
    return home() / "campaigns"


def campaigns_file() -> Path:
    value = os.environ.get("WORLDVLA_CAMPAIGNS")
    return Path(value).resolve() if value else project_root() / "pipelines" / "campaigns.yaml"


def mlflow_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or a SQLite database in the home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow' / 'mlflow.db'}"
