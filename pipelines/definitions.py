"""What Dagster loads: `dagster dev -m pipelines.definitions`, or `make ui`."""

import dagster as dg

from assets.definitions import ASSETS
from pipelines.automation import rematerialize_stale
from pipelines.deadline import nightly_deadline
from pipelines.freshness import freshness_of_campaigns, on_time, with_freshness_policy
from pipelines.jobs import campaign_job, iteration_job
from pipelines.no_pickle import RESOURCES
from pipelines.notices import notify_failure
from pipelines.schedules import iteration_after_campaign, schedules

defs = dg.Definitions(
    assets=with_freshness_policy(ASSETS),
    resources=RESOURCES,
    asset_checks=[on_time],
    jobs=[campaign_job, iteration_job],
    schedules=schedules(),
    sensors=[iteration_after_campaign, nightly_deadline, notify_failure, freshness_of_campaigns, rematerialize_stale],
)
