"""Imports as the loop sees them: the episodes that came in under a name."""

from collections.abc import Collection

import polars as pl

from worldvla.lake.digests import digest
from worldvla.lake.store import Lake, is_in

# What names a record that was read by one mapping, whichever importer made an episode of it.
RECORD = ["import_name", "file", "record", "files", "mapping"]


def imported_episodes(lake: Lake, names: Collection[str]) -> list[str]:
    """The episodes of these imports by id, also those that quality rules keep out; records that are no episode are
    not among them. Of a record that was imported again by a newer importer, what that one made of it."""
    if not names or not lake.exists("imports"):
        return []
    columns = [*RECORD, "importer", "episode_id", "unmappable"]
    rows = lake.frame("imports", columns, is_in("import_name", sorted(names)))
    version = pl.col("importer").cast(pl.Int64)
    # Also where the newest found that it is no episode.
    newest = rows.filter(version == version.max().over(RECORD))
    return sorted(set(newest.filter(pl.col("unmappable").is_null())["episode_id"]))


def lost_imports(lake: Lake, names: Collection[str]) -> dict[tuple[str, str], int]:
    """How many episodes of these imports, by name and path, are neither recorded nor in quarantine any more, nor were
    withdrawn.

    Retention removes episodes that no campaign has taken yet.
    """
    ids = imported_episodes(lake, names)
    there = set(lake.frame("episodes", ["episode_id"])["episode_id"])
    if ids and lake.exists("quarantine"):
        there |= set(lake.frame("quarantine", ["record_id"])["record_id"])
    if lake.exists("retractions"):
        there |= set(lake.frame("retractions", ["episode_id"])["episode_id"])
    if not (lost := set(ids) - there):
        return {}
    rows = lake.frame("imports", ["import_name", "path", "episode_id"], is_in("import_name", sorted(names)))
    counted = rows.filter(pl.col("episode_id").is_in(lost)).group_by("import_name", "path").len()
    return {(name, path): count for name, path, count in counted.sort("import_name", "path").iter_rows()}


def import_names(lake: Lake) -> list[str]:
    """The names that something was imported under."""
    return sorted(set(lake.frame("imports", ["import_name"])["import_name"])) if lake.exists("imports") else []


def imports_version(lake: Lake, names: Collection[str]) -> str:
    """Names what these imports have brought so far."""
    return digest(["imports", imported_episodes(lake, names)])
