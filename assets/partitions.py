"""The two dimensions every asset is partitioned by: the campaign, and the iteration of its loop."""

import dagster as dg

CAMPAIGN = "campaign"
ITERATION = "iteration"

CAMPAIGNS = dg.DynamicPartitionsDefinition(name=CAMPAIGN)
ITERATIONS = dg.DynamicPartitionsDefinition(name=ITERATION)
LOOP = dg.MultiPartitionsDefinition({CAMPAIGN: CAMPAIGNS, ITERATION: ITERATIONS})


def partition_key(campaign: str, iteration: str) -> str:
    """The partition of a node: the campaign alone where `iteration` is empty."""
    return dg.MultiPartitionKey({CAMPAIGN: campaign, ITERATION: iteration}) if iteration else campaign
