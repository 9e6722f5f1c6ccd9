"""Withdrawing episodes in bulk, taking that back, and looking at what it would do first.

A retraction is one row; nothing else is touched, so the bytes stay and taking it back is
deleting the row. The planner compares what is left of every set with what was published.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa

from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import existing
from worldvla.lake.store import Lake, is_in
from worldvla.lake.tables import TABLES

TABLE = "retractions"
# Ids in one predicate of a deletion.
BATCH = 1000


def retract_episodes(lake: Lake, ids: Iterable[str], reason: str) -> None:
    """Withdraws recorded episodes, in one commit. Those retracted before keep their reason.

    Raises `UserError` naming episodes that are not recorded; then none is withdrawn.
    """
    ids = list(ids)
    if unknown := sorted(set(ids) - existing(lake, ids)):
        raise UserError(f"the lake has no episode {', '.join(unknown[:5])}{', …' if len(unknown) > 5 else ''}")
    lake.insert(TABLE, _rows(ids, reason), Commit(run_id="", asset="retraction"))


def restore_episodes(lake: Lake, ids: Iterable[str]) -> None:
    """Takes retractions back: the episodes are read again. Killed half way, the same call does the rest."""
    ids = sorted(set(ids))
    for start in range(0, len(ids), BATCH):
        lake.delete(TABLE, is_in("episode_id", ids[start : start + BATCH]), Commit(run_id="", asset="restoration"))


class Supposed(Lake):
    """The lake as it would be after `retract` and `restore`: the same tables, other retractions. For reading alone."""

    def __init__(self, lake: Lake, retract: Iterable[str] = (), reason: str = "", restore: Iterable[str] = ()) -> None:
        super().__init__(lake.root)
        self._added = _rows(list(retract), reason)
        self._restored = pa.array(list(restore), pa.string())

    def read(self, table: str, columns: list[str] | None = None, where: str | None = None) -> pa.Table:
        """As `Lake.read`; the retractions are those that there would be, whatever `where` says."""
        if table != TABLE:
            return super().read(table, columns, where)
        kept = super().read(TABLE) if self.exists(TABLE) else TABLES[TABLE].empty()
        kept = kept.filter(pa.compute.invert(pa.compute.is_in(kept["episode_id"], self._restored)))
        new = self._added.filter(pa.compute.invert(pa.compute.is_in(self._added["episode_id"], kept["episode_id"])))
        return pa.concat_tables([kept.cast(new.schema), new]).select(columns or TABLES[TABLE].light)


def _rows(ids: list[str], reason: str) -> pa.Table:
    count = len(ids)
    columns = [pa.array(ids, pa.string()), pa.repeat(pa.scalar(reason), count)]
    instant = TABLES[TABLE].schema.field("retracted_at").type
    columns.append(pa.repeat(pa.scalar(datetime.now(UTC), instant), count))
    return pa.Table.from_arrays(columns, schema=TABLES[TABLE].schema)
