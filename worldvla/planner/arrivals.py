"""Imports that a published set has not seen: a further import makes `imported_episodes` stale."""

import json
from collections.abc import Mapping
from dataclasses import replace

from worldvla.config import Campaign
from worldvla.lake.episodes import set_members
from worldvla.lake.imports import imported_episodes
from worldvla.lake.store import Lake, quoted
from worldvla.partitions import CAMPAIGN_SCOPE
from worldvla.planner.graph import NODES
from worldvla.planner.state import Key, Observed, Recorded

FOLLOWING = tuple(node.name for node in NODES if node.follows_imports)


def with_arrivals(
    lake: Lake, observed: Mapping[Key, Observed], records: Mapping[Key, Recorded], campaigns: Mapping[str, Campaign]
) -> dict[Key, Observed]:
    """`observed`, with the episodes that came in under a campaign's imports since their set was published."""
    found = dict(observed)
    for name, campaign in campaigns.items():
        ids = set(imported_episodes(lake, campaign.imports))
        for asset in FOLLOWING if ids else ():
            key = (asset, name, CAMPAIGN_SCOPE)
            if key not in records:
                continue
            version = records[key].data_version
            if new := ids - _known(lake, key, version):
                found[key] = replace(found.get(key, Observed(version, 0)), arrived=tuple(sorted(new)))
    return found


def _known(lake: Lake, key: Key, version: str) -> set[str]:
    """What the publication of this version holds, has lost since, or kept out."""
    asset, campaign, _ = key
    where = f"asset = {quoted(asset)} AND campaign = {quoted(campaign)} AND data_version = {quoted(version)}"
    details = lake.frame("materializations", ["details"], where)["details"]
    refused = {one for text in details for one in json.loads(text).get("quarantined", ())}
    withdrawn = set(lake.frame("retractions", ["episode_id"])["episode_id"])
    return set(set_members(lake, version)) | refused | withdrawn
