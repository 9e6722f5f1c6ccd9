"""Questions asked of the lake in SQL: DuckDB over the Lance tables, and the audits in `sql/`.

An audit is one file, `sql/NAME.sql`, that a person reads and edits. It begins with lines

    -- question: which failures trained this model?
    -- param model: a model [default …]
    -- show: the, columns, a, person, sees        (all, where it does not say)
    -- empty: what a person should know who gets no row

and uses each parameter as `$model`. Values are bound, never put into the text. What the
parameters may be given as is in `worldvla.lake.names`, what `as_of` does in
`worldvla.lake.time_travel`. An audit that must not answer says so with `refuse(reason)`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.lake.faults import damaged_files, damaged_table
from worldvla.lake.names import did_you_mean, resolve, tables_read
from worldvla.lake.read_once import ReadOnce
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES, Table
from worldvla.lake.time_travel import opened, table_states, versions_at

_QUESTION = re.compile(r"^-- question: *(.+)$", re.MULTILINE)
_SHOWN = re.compile(r"^-- show: *(.+)$", re.MULTILINE)
_EMPTY = re.compile(r"^-- empty: *(.+)$", re.MULTILINE)
_PARAMETER = re.compile(r"^-- param (\w+): *(.*?)(?: *\[default ([^\]]*)\])?$", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_DEFINED = re.compile(r"^create (?:view|macro) (\w+)", re.MULTILINE)
# What `refuse` in sql/views puts before its reason, behind DuckDB's own words.
_REFUSED = re.compile(r"^[\w ]+: refused: ")
# How DuckDB names the table that `_register` gave it when a scan of it fails.
_UNREAD = re.compile(r"registered as 'lance_(\w+)' failed")

STATES = "table_states"
# Small tables of many one-row files, which the views of one audit scan many times.
READ_ONCE = ("materializations", "models", "iterations", "retractions")


@dataclass(frozen=True)
class Parameter:
    """A parameter of an audit; required where it has no default."""

    name: str
    description: str
    default: str | None


@dataclass(frozen=True)
class Audit:
    """One question, as its file states it. `shown` are the columns a table for people has; None means all. `empty` is
    said where there is no row."""

    name: str
    question: str
    parameters: tuple[Parameter, ...]
    shown: tuple[str, ...] | None
    empty: str | None
    sql: str


def connect(lake: Lake, sql: str | None = None, versions: Mapping[str, int] | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that sees every table of the lake, without its columns of bytes.

    Tables not written yet are empty. The views of `sql/views/` stand beside them, and
    `table_states`, one row a table. Nothing else can be read: no file, no network. `sql`
    limits all this to what a text mentions. `versions` opens tables at these Lance versions,
    and leaves tables without one empty, in place of the newest.
    """
    views = _views()
    wanted = _mentioned(sql, views)
    connection = duckdb.connect()
    # Where Python has no script, DuckDB takes standard output for a person's.
    connection.execute("SET enable_progress_bar = false")
    for table in TABLES.values():
        if table.name in wanted:
            _register(connection, lake, table, versions)
    if STATES in wanted:
        connection.register(STATES, table_states(lake, versions))
    for name, text in views.items():
        if name in wanted:
            connection.execute(text)
    connection.execute("SET TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true")
    return connection


@contextmanager
def asking(
    lake: Lake, sql: str | None = None, versions: Mapping[str, int] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """`connect` for a few questions; where one fails because a file is damaged, a `UserError` names table and file."""
    try:
        with connect(lake, sql, versions) as connection:
            yield connection
    except duckdb.Error as error:
        if failed := _UNREAD.search(str(error)):
            table = failed[1]
            version = None if versions is None else versions[table]
            if damaged := damaged_files(path := lake.path(table), TABLES[table].light, version):
                raise UserError(damaged_table(table, path, damaged)) from error
        raise


def audits() -> dict[str, Audit]:
    """The audits there are, by name."""
    found = {}
    for path in sorted(_folder().glob("*.sql")):
        text = path.read_text()
        question = _QUESTION.search(text)
        if question is None:
            raise UserError(f"{path} does not say what it answers: begin it with `-- question: …`")
        parameters = tuple(Parameter(*groups) for groups in (match.groups() for match in _PARAMETER.finditer(text)))
        shown, empty = _SHOWN.search(text), _EMPTY.search(text)
        columns = tuple(re.findall(r"\w+", shown[1])) if shown else None
        found[path.stem] = Audit(path.stem, question[1].strip(), parameters, columns, empty[1] if empty else None, text)
    return found


def run_audit(
    lake: Lake, name: str, parameters: dict[str, str], as_of: str | Mapping[str, int] | None = None
) -> pl.DataFrame:
    """Answers an audit's question, over the tables as they were on the night of `as_of`, CAMPAIGN/ITERATION, or at
    these versions of theirs.

    Raises `UserError` on an audit or parameter that does not exist or is missing, and where
    the audit refuses to answer.
    """
    known = audits()
    if name not in known:
        raise UserError(f"there is no audit {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}")
    audit = known[name]
    given = _complete(audit, parameters)
    versions = versions_at(lake, as_of) if isinstance(as_of, str) else as_of
    try:
        with asking(lake, " ".join((audit.sql, *tables_read(given))), versions) as connection:
            values = resolve(connection, given)
            return pl.DataFrame(pl.from_arrow(connection.sql(audit.sql, params=values).to_arrow_table()))
    except duckdb.Error as error:
        refused, count = _REFUSED.subn("", str(error).partition("\n\nLINE ")[0])
        raise UserError(f"{name}: {refused}" if count else f"sql/{name}.sql: {error}") from error


def _register(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, versions: Mapping[str, int] | None
) -> None:
    """Makes the table's light columns a view, null where the version read is older than the column."""
    dataset = opened(lake, table.name, versions)
    stored: Any = table.empty().select(table.light) if dataset is None else dataset
    if dataset is not None and table.name in READ_ONCE:
        stored = ReadOnce(dataset, [name for name in table.light if name in dataset.schema.names])
    connection.register(f"lance_{table.name}", stored)
    connection.register(f"typed_{table.name}", table.empty().select(table.light))
    columns = [
        name if name in stored.schema.names else f"(SELECT any_value({name}) FROM typed_{table.name}) AS {name}"
        for name in table.light
    ]
    connection.execute(f"CREATE VIEW {table.name} AS SELECT {', '.join(columns)} FROM lance_{table.name}")


def _mentioned(sql: str | None, views: Mapping[str, str]) -> set[str]:
    """The names of tables and views in a text, and in the views that it mentions; all of them without a text."""
    names = {*TABLES, *views, STATES}
    if sql is None:
        return names
    found: set[str] = set()
    texts = [sql]
    while texts:
        new = names & set(re.findall(r"\w+", _COMMENT.sub("", texts.pop()))) - found
        found |= new
        texts += [views[name] for name in new if name in views]
    return found


@cache
def _views_in(folder: Path) -> dict[str, str]:
    views = {}
    for path in sorted(folder.glob("*.sql")):
        text = _COMMENT.sub("", path.read_text())
        starts = [match.start() for match in _DEFINED.finditer(text)]
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            views[_DEFINED.match(text, start)[1]] = text[start:end]
    return views


def _views() -> dict[str, str]:
    """The statements of `sql/views/` by the name that each defines, in the order in which they must be run."""
    return _views_in(_folder() / "views")


def _complete(audit: Audit, given: dict[str, str]) -> dict[str, str]:
    """The given parameters with defaults for the others."""
    names = [parameter.name for parameter in audit.parameters]
    declared = ", ".join(
        f"{parameter.name} ({parameter.description})" + ("" if parameter.default is None else ", optional")
        for parameter in audit.parameters
    )
    takes = f"audit {audit.name} takes: {declared or 'no parameters'}"
    if unknown := sorted(set(given) - set(names)):
        meant = did_you_mean(unknown[0], names)
        raise UserError(f"audit {audit.name} has no parameter {', '.join(unknown)}{meant}; {takes}")
    values = {parameter.name: given.get(parameter.name, parameter.default) for parameter in audit.parameters}
    if missing := [name for name, value in values.items() if value is None]:
        raise UserError(f"audit {audit.name} needs --{missing[0]}; {takes}")
    return values


def _folder() -> Path:
    return project_root() / "sql"
