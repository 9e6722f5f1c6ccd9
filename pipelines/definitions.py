"""What Dagster loads: `dagster dev -m pipelines.definitions`, or `make ui`."""

import dagster as dg

from assets.definitions import ASSETS
from pipelines.jobs import campaign_job, iteration_job
from pipelines.schedules import iteration_after_campaign, nightly, nightly_campaigns

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[campaign_job, iteration_job],
    schedules=[nightly, nightly_campaigns],
    sensors=[iteration_after_campaign],
)
