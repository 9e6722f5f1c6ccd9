"""What a rematerialization should cost, judged by past runs of the same kind of node.

Every publication records its seconds, simulator steps and imagined steps. The expectation of a
node is the median over the latest runs of the same asset that resemble it most: with the
configuration that it would run under now, else of its own campaign, else of any. Content that
was published again without being computed repeats the record of its first run and counts once.
What a node spends before it starts (a process, the assets' import: a few seconds a run) is in
no record, so it is in no expectation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from worldvla import campaigns
from worldvla.config import Campaign
from worldvla.errors import UserError
from worldvla.lake.store import Lake
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.state import Key

Basis = Literal["configuration", "campaign", "asset", "none"]
LATEST_RUNS = 20
COUNTS = ("real_steps", "imagined_steps")
COLUMNS = ["asset", "campaign", "config_digest", "fingerprint", "seconds", *COUNTS, "materialized_at"]


@dataclass(frozen=True)
class Expected:
    """The expectation of one node, from `runs` past runs that share its `basis`.

    `seconds`, `real_steps` and `imagined_steps` are none where nothing like it ever ran.
    """

    seconds: float | None
    real_steps: int | None
    imagined_steps: int | None
    runs: int
    basis: Basis


@dataclass(frozen=True)
class Total:
    """The sum over nodes whose cost is known, one after the other; `unknown` counts the others."""

    seconds: float
    real_steps: int
    imagined_steps: int
    nodes: int
    unknown: int


UNKNOWN = Expected(None, None, None, 0, "none")
NOTHING_TO_COMPUTE = Expected(0.0, 0, 0, 0, "none")


def expected(
    lake: Lake,
    nodes: Iterable[Key],
    configurations: Mapping[str, Campaign] | None = None,
    graph: Mapping[str, Node] = GRAPH,
) -> dict[Key, Expected]:
    """What each node (asset, campaign, iteration) should cost if it is computed now.

    `configurations` saves loading campaigns that are at hand; one that has no configuration
    any more is judged by its own past runs. A node of the back edge costs nothing.
    """
    past = past_runs(lake)
    known = dict(configurations or {})
    by_kind: dict[tuple[str, str], Expected] = {}
    found = {}
    for key in nodes:
        kind = key[:2]
        if kind not in by_kind:
            by_kind[kind] = _of_kind(past, *kind, known, graph)
        found[key] = by_kind[kind]
    return found


def total(costs: Iterable[Expected]) -> Total:
    costs = list(costs)
    known = [cost for cost in costs if cost.seconds is not None]
    return Total(
        seconds=sum(cost.seconds for cost in known),
        real_steps=sum(cost.real_steps for cost in known),
        imagined_steps=sum(cost.imagined_steps for cost in known),
        nodes=len(costs),
        unknown=len(costs) - len(known),
    )


def past_runs(lake: Lake) -> pl.DataFrame:
    """One row a computation, the latest last: asset, campaign, config_digest, seconds and steps."""
    if not lake.exists("materializations"):
        return pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    rows = lake.frame("materializations", COLUMNS).sort("materialized_at")
    return rows.unique(subset=["asset", "fingerprint", "seconds"], keep="first", maintain_order=True)


def estimate(past: pl.DataFrame, asset: str, campaign: str, config: str | None) -> Expected:
    """The expectation of an asset in a campaign whose configuration it would read as `config`, none where unknown.

    `past` is what `past_runs` returns.
    """
    alike_now = pl.lit(False) if config is None else pl.col("config_digest") == config
    resemblances: list[tuple[Basis, pl.Expr]] = [
        ("configuration", alike_now),
        ("campaign", pl.col("campaign") == campaign),
        ("asset", pl.lit(True)),
    ]
    of_asset = past.filter(pl.col("asset") == asset)
    for basis, alike in resemblances:
        runs = of_asset.filter(alike).tail(LATEST_RUNS)
        if len(runs):
            real_steps, imagined_steps = (round(runs[name].median()) for name in COUNTS)
            return Expected(runs["seconds"].median(), real_steps, imagined_steps, len(runs), basis)
    return UNKNOWN


def _of_kind(
    past: pl.DataFrame, asset: str, campaign: str, known: dict[str, Campaign], graph: Mapping[str, Node]
) -> Expected:
    node = graph[asset]
    if node.feedback_from:
        return NOTHING_TO_COMPUTE
    if campaign not in known:
        try:
            known[campaign] = campaigns.load(campaign)
        except UserError:
            return estimate(past, asset, campaign, None)
    return estimate(past, asset, campaign, config_digest(node, known[campaign]))
