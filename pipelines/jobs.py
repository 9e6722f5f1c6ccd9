"""Two jobs: what a campaign needs once, and one iteration of its loop."""

import dagster as dg

from assets.partitions import CAMPAIGNS, LOOP

campaign_job = dg.define_asset_job(
    "campaign",
    selection=dg.AssetSelection.groups("campaign"),
    partitions_def=CAMPAIGNS,
    description="Demonstrations, base policy, exploration and the pre-trained world model of one campaign.",
)
iteration_job = dg.define_asset_job(
    "iteration",
    selection=dg.AssetSelection.groups("iteration") - dg.AssetSelection.assets("incoming_failures"),
    partitions_def=LOOP,
    description="One iteration of one campaign's loop.",
)
