"""Two jobs: what a campaign needs once, and one iteration of its loop. They say on which data they work."""

import dagster as dg

from assets.partitions import CAMPAIGNS, LOOP
from worldvla.home import home, lake_root
from worldvla.planner.graph import NODES

# What a server must share with whoever launches runs through it, and the variable that sets it.
PLACES = {"worldvla/home": "WORLDVLA_HOME", "worldvla/lake": "WORLDVLA_LAKE"}

# Whether an iteration is on time is asked when time has passed, not when it is made.
ON_TIME = dg.AssetCheckKey(dg.AssetKey("iteration_record"), "on_time")


def places() -> dict[str, str]:
    """Where this process keeps its data."""
    return {"worldvla/home": str(home()), "worldvla/lake": str(lake_root())}


campaign_job = dg.define_asset_job(
    "campaign",
    selection=dg.AssetSelection.groups("campaign"),
    partitions_def=CAMPAIGNS,
    metadata=places(),
    description="Demonstrations, base policy, exploration and the pre-trained world model of one campaign.",
)
iteration_job = dg.define_asset_job(
    "iteration",
    selection=dg.AssetSelection.groups("iteration")
    - dg.AssetSelection.assets(*(node.name for node in NODES if node.feedback_from))
    - dg.AssetSelection.checks(ON_TIME),
    partitions_def=LOOP,
    metadata=places(),
    description="One iteration of one campaign's loop.",
)
