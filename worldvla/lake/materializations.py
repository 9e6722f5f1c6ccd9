"""Publication: one appended row says that a node of the asset graph now has this content.

Whatever the row points to was written before it, so what is published is whole. The newest
row of a node is its current state, for the planner, the audits and Dagster alike.
"""

import json
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl

from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.store import Lake

_DECODER = json.JSONDecoder()
JSON_FIELDS = ("parents", "details", "tables")
# Tables whose rows are an asset's content, and the column that holds its data version.
CONTENT_ROWS = {
    "sans": ("sans", "sans_version"),
    "keyframes": ("keyframes", "keyframes_version"),
    "alignment": ("alignments", "alignment_version"),
}

NodeKey = tuple[str, str, str]
NODE = ["asset", "campaign", "iteration"]


@dataclass(frozen=True)
class Materialization:
    """A node (asset, campaign, iteration) and the content it was given.

    `iteration` is empty for assets made once a campaign. `parents` maps each parent asset to
    the data version that was read; `fingerprint` digests code version, configuration and
    parents; `details` holds what a person looks at (counts, metrics, `protocol`,
    `rows`, the number of rows that `data_version` names). `blocking_failure` is the reason of
    a gate that did not pass. `tables` maps the tables in use to their Lance versions.
    """

    asset: str
    campaign: str
    iteration: str
    data_version: str
    code_version: str
    config_digest: str
    parents: dict[str, str]
    fingerprint: str
    run_id: str
    details: dict[str, Any] = field(default_factory=dict)
    blocking_failure: str | None = None
    materialized_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    real_steps: int = 0
    imagined_steps: int = 0
    tables: dict[str, int] = field(default_factory=dict)

    @property
    def node(self) -> NodeKey:
        return self.asset, self.campaign, self.iteration


class Head(NamedTuple):
    """What the planner reads of a node's current materialization; its parents are taken apart when asked for."""

    asset: str
    campaign: str
    iteration: str
    data_version: str
    code_version: str
    config_digest: str
    parents_json: str
    blocking_failure: str | None
    materialized_at: datetime

    @property
    def parents(self) -> dict[str, str]:
        try:
            return _mapping(_DECODER.raw_decode(self.parents_json)[0])
        except (ValueError, TypeError, RecursionError) as error:
            raise _not_an_object("parents", self.asset, self.campaign, self.iteration) from error


def publish(lake: Lake, materialization: Materialization, commit: Commit) -> int:
    """Appends the row that makes content current; returns the version of `materializations`."""
    row = {item.name: getattr(materialization, item.name) for item in fields(Materialization)}
    return lake.append("materializations", [row], commit)


def history(lake: Lake, where: str | None = None) -> list[Materialization]:
    """All materializations that satisfy an SQL predicate, oldest first."""
    rows = lake.frame("materializations", where=where).sort("materialized_at", maintain_order=True)
    return [_materialization(row) for row in rows.iter_rows(named=True)]


def latest(lake: Lake) -> dict[NodeKey, Materialization]:
    """The current materialization of every node that has one."""
    rows = _newest(lake.frame("materializations"))
    return {item.node: item for item in map(_materialization, rows.iter_rows(named=True))}


def heads(lake: Lake) -> dict[NodeKey, Head]:
    """`latest`, of each materialization only what the planner reads: a tenth of the time where there are many."""
    columns = ["parents" if name == "parents_json" else name for name in Head._fields]
    rows = _newest(lake.frame("materializations", columns))
    found = map(Head._make, zip(*(rows[name].to_list() for name in columns), strict=True))
    return {head[:3]: head for head in found}


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    """The newest row of every node, oldest first; of rows of one instant the one appended last."""
    rows = rows.sort("materialized_at", maintain_order=True)
    return rows.unique(subset=NODE, keep="last", maintain_order=True)


def _materialization(row: dict[str, Any]) -> Materialization:
    taken_apart = {}
    for name in JSON_FIELDS:
        try:
            taken_apart[name] = _mapping(json.loads(row[name]))
        except (ValueError, TypeError, RecursionError) as error:
            raise _not_an_object(name, *(row[key] for key in NODE)) from error
    return Materialization(**row | taken_apart)


def _mapping(value: Any) -> dict:
    if not isinstance(value, dict):
        raise TypeError(type(value).__name__)
    return value


def _not_an_object(column: str, *node: str) -> UserError:
    place = " ".join(part[:100] for part in node if part)
    return UserError(f"table materializations: {column} of {place} is not a JSON object; delete the row, or restore it")
