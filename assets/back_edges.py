"""The back edges: what an iteration reads of those before it.

Dagster allows no cycle between assets, so they are observable sources: when iteration t publishes, it reports an
observation of them for iteration t + 1 (`assets.publication`), and a sensor or a person may observe them at any time.
"""

import dagster as dg

from assets.partitions import CAMPAIGN, ITERATION, LOOP
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import incoming_versions


def _observed(name: str, description: str) -> dg.SourceAsset:
    @dg.observable_source_asset(name=name, partitions_def=LOOP, group_name=GRAPH[name].scope, description=description)
    def observe(context: dg.AssetExecutionContext) -> dg.DataVersionsByPartition:
        lake = Lake.default()
        return dg.DataVersionsByPartition(
            {
                str(dg.MultiPartitionKey({CAMPAIGN: campaign, ITERATION: iteration})): version
                for campaign in context.instance.get_dynamic_partitions(CAMPAIGN)
                for iteration, version in incoming_versions(lake, campaign, name).items()
            }
        )

    return observe


ASSETS = [
    _observed(
        "incoming_rollouts",
        "What the policies of all iterations before this one did: iteration t + 1 reads here what policy_rollouts of "
        "iteration t reports.",
    ),
    _observed(
        "incoming_policy",
        "The policies of the iterations before this one: with rl.start latest, iteration t + 1 goes on from what "
        "rl_policy of iteration t reports.",
    ),
]
