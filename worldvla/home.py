"""Where things are: the project's files and the data it keeps.

`WORLDVLA_HOME` names the folder of all data (default: `var` in the project).
`WORLDVLA_LAKE` names the lake, a folder or `s3://bucket/prefix` (default: `lake` in the home).
`WORLDVLA_CAMPAIGNS` names the campaigns file (default: `pipelines/campaigns.yaml`).
The services that replace the embedded default are described in docs/deployment.md.
"""

import os
import re
from pathlib import Path

from worldvla.errors import UserError
from worldvla.services import with_driver

# A bucket's name as S3 restricts it, then folders of letters that no shell, URL or file system reads otherwise.
S3_LAKE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.{1,2}(/|$))[A-Za-z0-9._=-]+)*")


def project_root() -> Path:
    """The folder that holds `pipelines/` and `sql/`: the nearest above the working folder, or the checkout."""
    for folder in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parent.parent):
        if (folder / "pipelines" / "campaigns.yaml").exists():
            return folder
    raise UserError("no worldvla project here: run the command inside a checkout that holds pipelines/campaigns.yaml")


def home() -> Path:
    value = os.environ.get("WORLDVLA_HOME")
    return (Path(value) if value else project_root() / "var").resolve()


def lake_root() -> Path | str:
    """The folder of the lake, or its address on an object store: `s3://bucket/prefix`.

    Raises `UserError` on any other address; what was given is not repeated, for it may hold a password.
    """
    value = os.environ.get("WORLDVLA_LAKE")
    if not value:
        return home() / "lake"
    if "://" not in value:
        return Path(value).resolve()
    if not S3_LAKE.fullmatch(address := value.rstrip("/")):
        raise UserError(
            "WORLDVLA_LAKE: an address must be s3://bucket/prefix of letters, digits and ._=- alone; "
            "keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
    if endpoint.startswith("http://") and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in ("true", "1"):
        raise UserError(
            "AWS_ENDPOINT_URL: http:// sends everything in the clear; use https://, or set AWS_ALLOW_HTTP=true"
        )
    return address


def environment() -> dict[str, str]:
    """The environment of a process with another working folder, in which relative paths would name other places."""
    places = {"WORLDVLA_HOME": home(), "WORLDVLA_LAKE": lake_root(), "WORLDVLA_CAMPAIGNS": campaigns_file()}
    if named := os.environ.get("DAGSTER_HOME"):
        places["DAGSTER_HOME"] = Path(named).resolve()
    return os.environ | {name: str(place) for name, place in places.items()}


def checkpoint_directory(fingerprint: str) -> Path:
    """Where the training with this fingerprint keeps what it needs to resume."""
    return home() / "checkpoints" / fingerprint


def spent_file(fingerprint: str) -> Path:
    """Where the computation with this fingerprint keeps the seconds that it has taken until it is published."""
    return home() / "checkpoints" / f"{fingerprint}.seconds"


def reports_directory() -> Path:
    return home() / "reports"


def data_docs_directory() -> Path:
    """What quality checks found: results and their pages, `site/index.html` first."""
    return home() / "quality"


def variants_directory() -> Path:
    """Campaigns made with `--set`, one YAML file each."""
    return home() / "campaigns"


def campaigns_file() -> Path:
    value = os.environ.get("WORLDVLA_CAMPAIGNS")
    return Path(value).resolve() if value else project_root() / "pipelines" / "campaigns.yaml"


def mlflow_uri() -> str:
    """`MLFLOW_TRACKING_URI`, a server or a database, or a SQLite database in the home.

    The address of a database may hold a password: it is for MLflow alone. What people see is `mlflow_place`.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI")
    return with_driver(address) if address else f"sqlite:///{home() / 'mlflow' / 'mlflow.db'}"


def mlflow_place() -> str:
    """Where MLflow is, for people: its address without user, password and options."""
    scheme, separator, rest = mlflow_uri().partition("://")
    return scheme + separator + (rest if scheme == "sqlite" else rest.rpartition("@")[2].partition("?")[0])


def mlflow_artifacts() -> str | None:
    """Where MLflow keeps the files of a new experiment: None where a server decides.

    With a database, `MLFLOW_DEFAULT_ARTIFACT_ROOT` (such as `s3://bucket/prefix`), or a folder in the home.
    """
    if mlflow_uri().startswith(("http://", "https://")):
        return None
    return os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT") or (home() / "mlflow" / "artifacts").as_uri()
