"""The planner's eyes: what the lake holds now, as the plain values that `assess` compares."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import polars as pl

from worldvla import campaigns
from worldvla.config import Campaign
from worldvla.errors import UserError
from worldvla.lake.imports import imports_version
from worldvla.lake.materializations import Head, heads
from worldvla.lake.store import Lake
from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key, iteration_number
from worldvla.planner.arrivals import with_arrivals
from worldvla.planner.episode_sets import members_now, observe_versions
from worldvla.planner.feedback import NOTHING, extend, incoming_version
from worldvla.planner.fingerprints import config_digest, fingerprint
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.memory import collector_paused
from worldvla.planner.state import Key, NodeState, Observed, Recorded, assess
from worldvla.quality.quarantine import released_to

Records = Mapping[Key, Recorded]


@dataclass(frozen=True)
class Snapshot:
    """Everything `assess` needs, at one moment. `unknown` explains campaigns that only the lake knows."""

    campaigns: dict[str, Campaign]
    iterations: dict[str, int]
    records: dict[Key, Head]
    observed: dict[Key, Observed]
    unknown: dict[str, str]

    def assess(self) -> list[NodeState]:
        return assess(self.campaigns, self.iterations, self.records, self.observed)


def snapshot(lake: Lake, names: Iterable[str] | None = None, iterations: int | Mapping[str, int] = 0) -> Snapshot:
    """Looks at the named campaigns, or at all that have a record.

    Of each it takes as many iterations as have any record, at least `iterations`, which may differ
    by campaign. Raises `UserError` when a named campaign does not exist.
    """
    # Half of the time goes into reading the sets, and it needs nothing that the other half makes.
    with ThreadPoolExecutor(1) as pool:
        members = pool.submit(members_now, lake) if lake.exists("materializations") else None
        records = current(lake)
        known: dict[str, int] = {}
        for _, campaign, iteration in records:
            number = iteration_number(iteration) + 1 if iteration else 0
            known[campaign] = max(known.get(campaign, 0), number)
        loaded, unknown = _load(sorted(known), must=False) if names is None else _load(names, must=True)
    least = iterations if isinstance(iterations, Mapping) else dict.fromkeys(loaded, iterations)
    mine = {key: record for key, record in records.items() if key[1] in loaded}
    observed = observe_sets(lake, mine, members.result() if members else None)
    return Snapshot(
        campaigns=loaded,
        iterations={name: max(known.get(name, 0), least.get(name, 0)) for name in loaded},
        records=records,
        observed=with_arrivals(lake, observed, mine, loaded),
        unknown=unknown,
    )


def _load(names: Iterable[str], must: bool) -> tuple[dict[str, Campaign], dict[str, str]]:
    """The configurations of campaigns, and why others have none; an error where they `must` exist."""
    loaded, unknown = {}, {}
    for name in dict.fromkeys(names):
        try:
            loaded[name] = campaigns.load(name)
        except UserError as error:
            if must:
                raise
            unknown[name] = str(error)
    return loaded, unknown


def current(lake: Lake) -> dict[Key, Head]:
    """The latest record of every node; an unused lake is left untouched.

    What other code published under names that the graph does not have is no node.
    """
    with collector_paused():
        found = heads(lake) if lake.exists("materializations") else {}
        return {key: head for key, head in found.items() if key[0] in GRAPH}


def observe_sets(lake: Lake, records: Records, members: pl.DataFrame | None = None) -> dict[Key, Observed]:
    """What is left of those episode sets among `records` that are not what they were or would be now; others are not
    listed. `members`: as for `observe_versions`."""
    named = {key: record.data_version for key, record in records.items() if GRAPH[key[0]].holds_episodes}
    observed = observe_versions(lake, set(named.values()), members) if named else {}
    sets = {key: observed[version] for key, version in named.items() if version in observed}
    for key, ids in released_to(lake, {key: records[key].materialized_at for key in named}).items():
        sets[key] = replace(sets.get(key, Observed(named[key], 0)), released=tuple(sorted(ids)))
    return sets


def effective_version(record: Recorded, observed: Observed | None) -> str:
    """What children read: the data version, without the episodes retracted since and with those corrected."""
    return observed.version if observed and observed.altered else record.data_version


def parent_versions(
    lake: Lake, node: Node, campaign: str, iteration: str, records: Records | None = None
) -> dict[str, str]:
    """The effective version of each of a node's parents, as its materialization must record them.

    Raises `UserError` naming a parent that was never materialized.
    """
    records = current(lake) if records is None else records
    versions = {}
    for parent in map(GRAPH.__getitem__, node.parents):
        if parent.feedback_from:
            before = [iteration_key(number) for number in range(iteration_number(iteration))]
            keys = [(parent.feedback_from, campaign, one) for one in before]
            versions[parent.name] = incoming_version(_effective(lake, keys, records))
        else:
            scope = iteration if parent.scope == "iteration" else CAMPAIGN_SCOPE
            [versions[parent.name]] = _effective(lake, [(parent.name, campaign, scope)], records)
    return versions


def step_fingerprint(lake: Lake, node: Node, campaign: Campaign, iteration: str, parents: Mapping[str, str]) -> str:
    """The fingerprint that a node has when it is computed now, in an iteration of a campaign so configured.

    `parents` as `parent_versions` gives them.
    """
    configuration = config_digest(node, campaign)
    if node.varies_by_iteration:
        configuration += f",iteration:{iteration}"
    if node.follows_imports:
        configuration += f",imported:{imports_version(lake, campaign.imports)}"
    return fingerprint(node, node.code_version, configuration, parents)


def incoming_versions(lake: Lake, campaign: str, asset: str) -> dict[str, str]:
    """A back edge's version in iteration 0 and in each iteration before which all have published."""
    records = current(lake)
    observed = observe_sets(lake, {key: record for key, record in records.items() if key[1] == campaign})
    versions, number, version = {iteration_key(0): NOTHING}, 0, NOTHING
    while (key := (GRAPH[asset].feedback_from, campaign, iteration_key(number))) in records:
        version = extend(version, effective_version(records[key], observed.get(key)))
        number += 1
        versions[iteration_key(number)] = version
    return versions


def _effective(lake: Lake, keys: list[Key], records: Records) -> list[str]:
    for asset, campaign, iteration in keys:
        if (asset, campaign, iteration) not in records:
            where = f"{campaign}, iteration {iteration}" if iteration else campaign
            raise UserError(
                f"{asset} of {where} was never materialized: run `worldvla loop --campaign {campaign}` first"
            )
    chosen = {key: records[key] for key in keys}
    observed = observe_sets(lake, chosen)
    return [effective_version(chosen[key], observed.get(key)) for key in keys]
