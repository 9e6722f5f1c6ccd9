"""Questions asked of the lake in SQL: DuckDB over the Lance tables, and the audits in `sql/`.

An audit is one file, `sql/NAME.sql`, that a person reads and edits. It begins with lines

    -- question: which failures trained this model?
    -- param model: a model [default …]
    -- show: the, columns, a, person, sees        (all, where it does not say)

and uses each parameter as `$model`. Values are bound, never put into the text. Parameters
named `model`, `policy`, `episode`, `campaign` or `iteration` may be given as people write
them (see `worldvla.lake.names`).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.lake.names import resolve
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES

_QUESTION = re.compile(r"^-- question: *(.+)$", re.MULTILINE)
_SHOWN = re.compile(r"^-- show: *(.+)$", re.MULTILINE)
_PARAMETER = re.compile(r"^-- param (\w+): *(.*?)(?: *\[default ([^\]]*)\])?$", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an audit; required where it has no default."""

    name: str
    description: str
    default: str | None


@dataclass(frozen=True)
class Audit:
    """One question, as its file states it. `shown` are the columns a table for people has; None means all."""

    name: str
    question: str
    parameters: tuple[Parameter, ...]
    shown: tuple[str, ...] | None
    sql: str


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that sees every table of the lake, as it is now, without its columns of bytes.

    Tables not written yet are empty. The views of `sql/views/` stand beside them. Nothing
    else can be read: no file, no network.
    """
    connection = duckdb.connect()
    for table in TABLES.values():
        stored = lake.open(table.name) if lake.exists(table.name) else table.empty().select(table.light)
        connection.register(f"lance_{table.name}", stored)
        connection.execute(f"CREATE VIEW {table.name} AS SELECT {', '.join(table.light)} FROM lance_{table.name}")
    for path in sorted((_folder() / "views").glob("*.sql")):
        connection.execute(path.read_text())
    connection.execute("SET TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true")
    return connection


def audits() -> dict[str, Audit]:
    """The audits there are, by name."""
    found = {}
    for path in sorted(_folder().glob("*.sql")):
        text = path.read_text()
        question = _QUESTION.search(text)
        if question is None:
            raise UserError(f"{path} does not say what it answers: begin it with `-- question: …`")
        parameters = tuple(Parameter(*groups) for groups in (match.groups() for match in _PARAMETER.finditer(text)))
        shown = _SHOWN.search(text)
        columns = tuple(re.findall(r"\w+", shown[1])) if shown else None
        found[path.stem] = Audit(path.stem, question[1].strip(), parameters, columns, text)
    return found


def run_audit(lake: Lake, name: str, parameters: dict[str, str]) -> pl.DataFrame:
    """Answers an audit's question; raises `UserError` on an audit or parameter that does not exist or is missing."""
    known = audits()
    if name not in known:
        raise UserError(f"there is no audit {name!r}; there are: {', '.join(known)}")
    audit = known[name]
    with connect(lake) as connection:
        values = resolve(connection, _complete(audit, parameters))
        try:
            return pl.DataFrame(pl.from_arrow(connection.sql(audit.sql, params=values).to_arrow_table()))
        except duckdb.Error as error:
            raise UserError(f"sql/{name}.sql: {error}") from error


def _complete(audit: Audit, given: dict[str, str]) -> dict[str, str]:
    """The given parameters with defaults for the others."""
    declared = ", ".join(
        f"{parameter.name} ({parameter.description})" + ("" if parameter.default is None else ", optional")
        for parameter in audit.parameters
    )
    takes = f"audit {audit.name} takes: {declared or 'no parameters'}"
    if unknown := set(given) - {parameter.name for parameter in audit.parameters}:
        raise UserError(f"audit {audit.name} has no parameter {', '.join(sorted(unknown))}; {takes}")
    values = {parameter.name: given.get(parameter.name, parameter.default) for parameter in audit.parameters}
    if missing := [name for name, value in values.items() if value is None]:
        raise UserError(f"audit {audit.name} needs --{missing[0]}; {takes}")
    return values


def _folder() -> Path:
    return project_root() / "sql"
