"""PostgreSQL and MLflow's server in place of SQLite: whether what an environment variable names answers.

Dagster and MLflow both try one that does not answer for a long time and then show a
stack trace. So it is asked once beforehand, and what is wrong is said in one line, which
names the variable and never its value: that may hold a password.
"""

import os
from typing import TYPE_CHECKING

from worldvla.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DAGSTER_POSTGRES = "DAGSTER_POSTGRES_URL"
MLFLOW_TRACKING = "MLFLOW_TRACKING_URI"
CONNECT_SECONDS = 5


def check_databases() -> None:
    """Asks every PostgreSQL database and MLflow server that the environment names; raises `UserError`.

    Both keep the state of their migrations in a table of the same name, so each needs a database of its own.
    """
    addresses = []
    if text := os.environ.get(DAGSTER_POSTGRES):
        addresses.append((DAGSTER_POSTGRES, postgres_url(DAGSTER_POSTGRES, text)))
    if (text := os.environ.get(MLFLOW_TRACKING, "")).startswith("postgres"):
        addresses.append((MLFLOW_TRACKING, postgres_url(MLFLOW_TRACKING, text)))
    if len({(url.host, url.port or 5432, url.database) for _, url in addresses}) < len(addresses):
        raise UserError(
            f"{DAGSTER_POSTGRES} and {MLFLOW_TRACKING} name the same database; "
            "give each one of its own (createdb mlflow)"
        )
    for variable, url in addresses:
        _ask(variable, url)
    if (text := os.environ.get(MLFLOW_TRACKING, "")).startswith(("http://", "https://")):
        _ask_server(MLFLOW_TRACKING, text)


def with_driver(address: str) -> str:
    """A PostgreSQL address that names psycopg2, for which dagster-postgres is written; SQLAlchemy prefers psycopg 3."""
    return address.replace("postgresql://", "postgresql+psycopg2://", 1)


def postgres_url(variable: str, text: str) -> "URL":
    """The parsed address; raises `UserError` where it is not one of a PostgreSQL database."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in ("postgresql", "postgresql+psycopg2") or not url.database:
        raise UserError(f"{variable}: write it as postgresql://user:password@host:5432/database")
    return url


def _ask(variable: str, url: "URL") -> None:
    import psycopg2

    try:
        psycopg2.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            dbname=url.database,
            **({"connect_timeout": CONNECT_SECONDS} | dict(url.query)),
        ).close()
    except psycopg2.Error as error:
        said = " ".join(str(error).split()).replace(url.password or "\0", "***")
        raise UserError(f"{variable}: the database does not answer: {said}") from None


def _ask_server(variable: str, address: str) -> None:
    """Whatever a server says, it answers; what it refuses MLflow tells itself."""
    import requests

    try:
        requests.get(f"{address.rstrip('/')}/health", timeout=CONNECT_SECONDS)
    except requests.RequestException as error:
        raise UserError(
            f"{variable}: the MLflow server does not answer ({type(error).__name__}): start it, or correct the address"
        ) from None
