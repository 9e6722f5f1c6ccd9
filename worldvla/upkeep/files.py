"""The doctor on files: tables that cannot be read, blobs and versions that are gone, files that nobody names."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import lance
import polars as pl
import pyarrow as pa

from worldvla.lake.faults import Damage, damaged_files, file_sizes, remedy
from worldvla.lake.store import Lake
from worldvla.lake.tables import DERIVED, TABLES, Table
from worldvla.lake.tags import vectors
from worldvla.upkeep.finding import Finding
from worldvla.upkeep.footprint import orphans
from worldvla.upkeep.retention import version_numbers

REPAIR = "worldvla doctor --repair"
UNMENDED = "nothing brings it back; what it held is in the newest version still, where nobody removed it"
# Keys that a finding names of the rows in a damaged file.
SHOWN = 3
# A save or a start that takes longer than this was killed.
ABANDONED_SECONDS = 3600.0


def tables(lake: Lake, deep: bool = False) -> Iterator[Finding]:
    """Files of tables' newest versions that are missing, of another size, or cannot be decoded, and whose rows these
    held.

    Pictures, latents and other columns of bytes are decoded only where `deep`.
    """
    for table, spec in TABLES.items():
        if lake.exists(table):
            path = lake.path(table)
            for one in damaged_files(path, None if deep else spec.without_bytes):
                problem = f"{one}{_rows_in(path, spec, one)}"
                yield Finding("files", "error", table, one.file.removeprefix(f"{path}/"), problem, remedy(table, path))


def _rows_in(path: Path | str, spec: Table, damage: Damage) -> str:
    """How many rows lie in a damaged file, and whose they are where the column that says so can still be read."""
    if damage.fragment is None:
        return ""
    fragment = lance.dataset(path).get_fragment(damage.fragment)
    rows = f"; {fragment.count_rows()} rows lie in it"
    if not spec.keys:
        return rows
    column = "episode_id" if "episode_id" in spec.keys else spec.keys[0]
    try:
        found = sorted(set(fragment.to_table(columns=[column])[column].to_pylist()))
    except (OSError, ValueError, pa.ArrowException):
        return rows
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{rows}, of {column} {', '.join(found[:SHOWN])}{more}"


def blobs(lake: Lake, table: str) -> Iterator[Finding]:
    """Rows whose blob is not there, or shorter than the row says."""
    [key] = TABLES[table].keys
    dataset = lake.open(table)
    sizes = file_sizes(dataset)
    for fragment in dataset.get_fragments():
        stems = [f"data/{file.path.removesuffix('.lance')}/" for file in fragment.data_files()]
        beside = [size for path, size in sizes.items() if path.startswith(tuple(stems))]
        for column in TABLES[table].blobs:
            rows = fragment.to_table(columns=[key, column]).to_pylist()
            wanted = sum(row[column]["size"] for row in rows if row[column]["kind"] in (1, 2))
            if wanted > sum(beside):
                yield from _without_blob(lake, table, column, [row[key] for row in rows])


def _without_blob(lake: Lake, table: str, column: str, ids: list[str]) -> Iterator[Finding]:
    """Those of the rows of one fragment whose blob cannot be read whole."""
    dataset = lake.open(table)
    [key] = TABLES[table].keys
    for one in ids:
        found = dataset.to_table(columns=[key], filter=f"{key} = '{one}'", with_row_id=True)
        try:
            dataset.read_blobs(column, ids=found["_rowid"].to_pylist())
        except (OSError, ValueError):
            problem = f"the {column} of {one} are missing or cut short"
            yield Finding("blobs", "error", table, one, problem, f"{REPAIR}; then worldvla loop", "withdraw")


def versions(lake: Lake) -> Iterator[Finding]:
    """Versions that a model or an iteration names and that no tag keeps, or that are gone.

    Those of a derived table are nobody's loss: its folder may have been removed and made again.
    """
    wanted: dict[tuple[str, str], int] = {}
    for (campaign, iteration), named in vectors(lake).items():
        for table, version in named.items():
            if table in TABLES and table not in DERIVED and lake.exists(table):
                wanted[table, f"iteration.{campaign}.{iteration}"] = version
    if lake.exists("training_membership") and lake.exists("models"):
        models = lake.frame("models", ["model_id"])
        trained = lake.frame("training_membership", ["model_id", "lance_version"]).unique()
        for model, version in (
            trained.join(models, on="model_id").group_by("model_id").agg(pl.min("lance_version")).rows()
        ):
            wanted["episodes", f"model-{model}"] = version
    involved = {table for table, _ in wanted}
    tagged = {table: lake.tags(table) for table in involved}
    numbers = {table: version_numbers(lake, table) for table in involved}
    for (table, tag), version in sorted(wanted.items()):
        if version not in numbers[table]:
            problem = f"version {version}, which {tag} names, has been cleaned up"
            yield Finding("versions", "error", table, tag, problem, UNMENDED)
        elif tagged[table].get(tag) != version:
            problem = f"version {version} is kept by no tag: a cleanup would take it from {tag}"
            yield Finding("versions", "error", table, f"{tag}={version}", problem, REPAIR, "tag")


def unnamed(lake: Lake) -> Iterator[Finding]:
    """Files that no version of a table names."""
    for table in TABLES:
        if lake.exists(table):
            found = orphans(lake.open(table))
            if found:
                problem = f"{len(found)} files of {sum(found.values())} bytes that no version names"
                yield Finding("orphaned files", "note", table, min(found), problem, REPAIR, "sweep")


def leftovers(home: Path, published: set[str]) -> Iterator[Finding]:
    """What killed trainings and runs left in the home. `published`: fingerprints whose content is in the lake."""
    for path in sorted((home / "checkpoints").rglob("*.partial")):
        if (age := _age(path)) is not None and age > ABANDONED_SECONDS:
            yield _leftover(path, "half of a file, from a save that was killed")
    for path in sorted((home / "checkpoints").glob("*")):
        if path.name.removesuffix(".seconds") in published:
            yield _leftover(path, "checkpoints, or the clock, of a computation whose content is published")
    for path in sorted((home / "dagster" / "processes").glob("*.lock")):
        if _held(path) or (age := _age(path)) is None:
            continue
        # Without its file a run counts as ended, too; a process that has just begun is about to hold it.
        if age > ABANDONED_SECONDS:
            yield _leftover(path, "lock of a process that was killed, whose run, if it had one, has ended")
        else:
            problem = "lock of a run that was killed: Dagster believes that it runs until the next run settles it"
            yield Finding("leftovers", "note", "", str(path), problem, "worldvla loop")


def _age(path: Path) -> float | None:
    """Seconds since a file was written; None where it is gone, as where a save or a run ends meanwhile."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None


def _held(path: Path) -> bool:
    """Whether a process holds the lock; the kernel lets go of it when the process ends. What is gone nobody holds."""
    with suppress(FileNotFoundError), path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _leftover(path: Path, problem: str) -> Finding:
    return Finding("leftovers", "note", "", str(path), problem, REPAIR, "remove")
