"""Imports as the loop sees them: the episodes that came in under a name."""

from collections.abc import Collection

from worldvla.lake.digests import digest
from worldvla.lake.store import Lake, is_in


def imported_episodes(lake: Lake, names: Collection[str]) -> list[str]:
    """The episodes of these imports by id, also those that quality rules keep out; records that are no episode are
    not among them."""
    if not names or not lake.exists("imports"):
        return []
    where = f"{is_in('import_name', sorted(names))} AND unmappable IS NULL"
    return sorted(set(lake.frame("imports", ["episode_id"], where)["episode_id"]))


def import_names(lake: Lake) -> list[str]:
    """The names that something was imported under."""
    return sorted(set(lake.frame("imports", ["import_name"])["import_name"])) if lake.exists("imports") else []


def imports_version(lake: Lake, names: Collection[str]) -> str:
    """Names what these imports have brought so far."""
    return digest(["imports", imported_episodes(lake, names)])
