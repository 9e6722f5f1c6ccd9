"""The tables as they were when an iteration was committed.

The row of table `iterations` names the Lance version of every table on that night; Lance keeps
each version readable until it is cleaned up. Rows that came later are not in it, rows deleted
or rewritten since are.
"""

import json
from collections.abc import Mapping
from datetime import UTC

import lance
import pyarrow as pa

from worldvla.errors import UserError
from worldvla.lake.store import Lake, quoted
from worldvla.lake.tables import DERIVED, INSTANT, TABLES
from worldvla.partitions import iteration_key

SHOWN = 8
_STATES = pa.schema(
    {
        "table_name": pa.string(),
        "version": pa.int64(),
        "rows": pa.int64(),
        "written_at": INSTANT,
        "asset": pa.string(),
        "campaign": pa.string(),
        "iteration": pa.string(),
        "run_id": pa.string(),
    }
)


def versions_at(lake: Lake, place: str) -> dict[str, int]:
    """The Lance version of each table on the night of CAMPAIGN/ITERATION, without tables not in use then.

    It is what the iteration's own record saw: of `iterations` and `materializations` the
    versions before that record was written. Raises `UserError` listing the iterations there are.
    """

    campaign, slash, number = place.rpartition("/")
    if not slash or not number.isascii() or not number.isdigit():
        raise UserError(f"--as-of {place!r}: write CAMPAIGN/ITERATION, for example demo/3")
    key = iteration_key(int(number))
    found = []
    if lake.exists("iterations"):
        where = f"campaign = {quoted(campaign)} AND iteration = {quoted(key)}"
        found = lake.read("iterations", ["tables"], where)["tables"].to_pylist()
    if not found:
        raise UserError(f"--as-of {place!r}: no such iteration was ever completed; there is {_completed(lake)}")
    return json.loads(found[0])


def opened(lake: Lake, table: str, versions: Mapping[str, int] | None) -> lance.LanceDataset | None:
    """The table's newest version, or the one that `versions` names; None where there is none, or where it was one of a
    derived table, whose folder may have been removed and made again.

    Raises `UserError` where that version has been cleaned up.
    """
    if not lake.exists(table) or (versions is not None and table not in versions):
        return None
    dataset = lake.open(table)
    if versions is None:
        return dataset
    try:
        return dataset.checkout_version(versions[table])
    except (OSError, ValueError) as error:
        if table in DERIVED:
            return None
        raise UserError(
            f"version {versions[table]} of table {table} is gone: it was cleaned up, so that night cannot be read"
        ) from error


def table_states(lake: Lake, versions: Mapping[str, int] | None) -> pa.Table:
    """One row a table in use: its version, rows, when it was written, and by which run of which asset."""
    rows = []
    for table in TABLES:
        dataset = opened(lake, table, versions)
        if dataset is not None:
            row = {"table_name": table, "version": dataset.version, "rows": dataset.count_rows()}
            rows.append(row | {"written_at": dataset.get_version()["timestamp"].astimezone(UTC)} | _writer(dataset))
    return pa.Table.from_pylist(rows, schema=_STATES)


def _writer(dataset: lance.LanceDataset) -> dict[str, str]:
    """Who wrote the version, as its transaction says; nothing for versions that maintenance made."""
    transaction = dataset.read_transaction(dataset.version)
    properties = (transaction.transaction_properties if transaction else None) or {}
    return {name: properties.get(name) or None for name in ("asset", "campaign", "iteration", "run_id")}


def _completed(lake: Lake) -> str:
    """The places that can be travelled to, in words."""
    rows = lake.read("iterations", ["campaign", "iteration"]).to_pylist() if lake.exists("iterations") else []
    places = sorted(f"{row['campaign']}/{row['iteration']}" for row in rows)
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return (", ".join(places[-SHOWN:]) or "none yet") + more
